//! The verbs.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::error::TaskError;
use crate::repository::Repository;
use crate::{
    base_image, bench, build_time, check_tree, cost, deploy, e2e_aws, emulators, live, package, remove,
    speech, test,
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                      everything: set-up, every check, every test
  cargo xtask test --list               what that is
  cargo xtask test --only clippy        one step of it
  cargo xtask test --keep-going         all steps, also after one that failed
  cargo xtask check-tree                what the `rekindle` command must not depend on
  cargo xtask build-time                how long a clean release build takes here
  cargo xtask emulators -- aws s3 ls    AWS on this machine, for one command
  cargo xtask e2e-aws                   everything that is tested with them
  cargo xtask package                   the functions and the agent as AWS takes them
  cargo xtask deploy --stack rekindle   a stack on AWS
  cargo xtask base-image --help         an image that instances of a machine start from
  cargo xtask live --list               what can be asked of a real account
  cargo xtask cost --data-gb 50 --backups-per-day 1";

/// The set-up and the checks behind the README's commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Installs what the tests need (and says what), then runs every check and every test.
    Test(TestArguments),
    /// Checks that the `rekindle` command depends on none of the crates that it must do without.
    CheckTree,
    /// Measures a clean release build of the `rekindle` command against its limit.
    BuildTime,
    /// Starts emulators of AWS on this machine, alone or for one command.
    Emulators(emulators::Arguments),
    /// Tests adapters, templates and the deployed stack on emulators of AWS.
    #[command(name = "e2e-aws")]
    EndToEndAws(e2e_aws::Arguments),
    /// Builds the functions and the agent as AWS takes them.
    Package(package::Arguments),
    /// Makes or changes a stack on AWS, after showing what would change.
    Deploy(deploy::Arguments),
    /// Takes a stack away, after showing what would be lost.
    Remove(remove::Arguments),
    /// Makes an image in the customer's account that instances of one machine start from.
    BaseImage(base_image::Arguments),
    /// Asks a real account what no emulator tells, and takes away what it made for that.
    Live(live::Arguments),
    /// Tells what a service costs a month on AWS.
    Cost(cost::Arguments),
    /// Measures what is packaged.
    #[command(subcommand)]
    Bench(bench::Subject),
}

/// Which steps of the tests are run.
#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Run this step and what it needs, and no other; may be given more than once.
    #[arg(long, value_name = "STEP", value_parser = PossibleValuesParser::new(test::step_names()))]
    pub(crate) only: Vec<String>,
    /// Go on after a step that failed; the exit code tells all the same.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Say what the steps are, and do nothing.
    #[arg(long, conflicts_with_all = ["only", "keep_going"])]
    pub(crate) list: bool,
}

/// Reads the command line, does what it says, and answers with the exit code of what was run.
pub(crate) fn run() -> ExitCode {
    match carry_out(CommandLine::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            speech::complain(&error.to_string());
            error.exit_code()
        }
    }
}

fn carry_out(verb: Verb) -> Result<(), TaskError> {
    let repository = Repository::find()?;
    match verb {
        Verb::Test(arguments) => test::run(&repository, &arguments),
        Verb::CheckTree => check_tree::run(&repository),
        Verb::BuildTime => build_time::run(&repository),
        Verb::Emulators(arguments) => emulators::run(&repository, &arguments),
        Verb::EndToEndAws(arguments) => e2e_aws::run(&repository, &arguments),
        Verb::Package(arguments) => package::run(&repository, &arguments),
        Verb::Deploy(arguments) => deploy::run(&repository, &arguments),
        Verb::Remove(arguments) => remove::run(&repository, &arguments),
        Verb::BaseImage(arguments) => base_image::run(&repository, &arguments),
        Verb::Live(arguments) => live::run(&repository, &arguments),
        Verb::Cost(arguments) => cost::run(&arguments),
        Verb::Bench(subject) => bench::run(&repository, &subject),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use clap::{Args, Command, CommandFactory as _};

    /// The arguments of one verb, which is the first word.
    pub(crate) fn parsed<A: Args>(words: &[&str]) -> Result<A, clap::Error> {
        let matches = A::augment_args(Command::new("xtask")).try_get_matches_from(words)?;
        A::from_arg_matches(&matches)
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        CommandLine::command().debug_assert();
    }

    /// The exit codes themselves: `error`.
    #[test]
    fn whoever_can_be_asked_says_what_a_no_ends_with() {
        let line = CommandLine::command();
        for verb in ["deploy", "remove", "base-image", "live"] {
            let help = line.find_subcommand(verb).unwrap().get_after_help().unwrap().to_string();
            let codes = help.split_once("Exit codes:").unwrap().1;
            let of_no = codes.lines().find(|line| line.contains("not agreed to")).unwrap_or_default();
            assert!(of_no.starts_with("  1    "), "{verb}: {codes}");
        }
    }

    #[test]
    fn a_step_that_does_not_exist_is_refused() {
        assert!(CommandLine::try_parse_from(["xtask", "test", "--only", "nonsense"]).is_err());
        assert!(CommandLine::try_parse_from(["xtask", "test", "--only", "clippy", "--keep-going"]).is_ok());
    }
}
