//! `cargo xtask e2e-aws`: the adapters, the template and the functions, as near to AWS as it goes without AWS.

mod deployed;
mod logs;
mod policies;
mod second_ec2;
mod state_machines;
mod statics;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::emulators::{Emulators, Wishes};
use crate::error::TaskError;
use crate::live;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;
use crate::test;

const EXAMPLES: &str = "\
Examples:
  cargo xtask e2e-aws                       everything
  cargo xtask e2e-aws --only adapters       the tests of adapters against the emulators
  cargo xtask e2e-aws --only deployed -- main_way
                                            the tests of the deployed stack whose names have main_way

Exit codes:
  0    everything that could be checked holds
  1    something does not, or is missing
  any other code is that of the tests or of a command that failed";

/// Tests that need emulators carry this reason in their `#[ignore]`.
const ADAPTERS: &str = "package(rekindle-cloud-aws) | package(rekindle-store-s3) | package(rekindle-cmdb) \
                        | package(rekindle-lambda-host) | package(rekindle-agent) | package(xtask)";

/// What is tested.
#[derive(Debug, Default, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Only tests whose names have one of these words in them.
    #[arg(last = true, value_name = "WORD")]
    words: Vec<String>,
}

/// In the order in which they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Templates and state machines, read and not run: the emulators accept what AWS refuses.
    Static,
    /// The adapters, each against the emulator of its service.
    Adapters,
    /// The deployed stack, with the real functions and the real agent.
    Deployed,
}

/// `cargo xtask e2e-aws`.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<(), TaskError> {
    let nextest = test::nextest(repository)?;
    everything(repository, &nextest, arguments).map(|unchecked| {
        for reason in unchecked {
            speech::progress(&format!("Not checked: {reason}."));
        }
    })
}

/// The step of `cargo xtask test`; gives what could not be checked.
pub(crate) fn everything(
    repository: &Repository,
    nextest: &Path,
    arguments: &Arguments,
) -> Result<Vec<String>, TaskError> {
    let is_wanted = |part: Part| arguments.only.is_none_or(|only| only == part);
    let tests = Tests { repository, nextest: nextest.to_owned(), words: &arguments.words };
    let mut unchecked = Vec::new();
    if is_wanted(Part::Static) || is_wanted(Part::Adapters) {
        let emulators = Emulators::start(repository, Wishes::default())?;
        if is_wanted(Part::Static) {
            unchecked.extend(statics::check(repository, &emulators)?);
        }
        if is_wanted(Part::Adapters) {
            live::on_emulators(repository, &emulators)?;
            tests.run(&emulators, ADAPTERS, None, &[])?;
        }
    }
    if is_wanted(Part::Deployed) {
        deployed::test(repository, &tests)?;
    }
    Ok(unchecked)
}

/// How tests are run that need the emulators.
struct Tests<'t> {
    repository: &'t Repository,
    nextest: PathBuf,
    words: &'t [String],
}

impl Tests<'_> {
    /// All of the workspace with all features, as in every other step: another choice would compile aws-sdk-ec2 anew.
    fn run(
        &self,
        emulators: &Emulators,
        packages: &str,
        more_configuration: Option<&str>,
        variables: &[(String, String)],
    ) -> Result<(), TaskError> {
        let program: Program = emulators
            .program(self.repository, &self.nextest)
            .arguments(["nextest", "run", "--locked", "--workspace", "--all-features"])
            .arguments(["--run-ignored", "only", "--filterset", packages])
            .arguments(more_configuration.map(|file| format!("--tool-config-file=rekindle:{file}")))
            .arguments(self.words)
            .variables(variables);
        emulators.run(program)
    }
}
