//! The steps of `cargo xtask test`, the quick ones first.

use super::set_up::{SetUp, Tool};
use crate::check_tree;
use crate::e2e_aws;
use crate::error::TaskError;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;

/// The tests that need the built command and real databases.
const END_TO_END_TESTS: &str = "package(rekindle-end-to-end-tests)";

/// How long the database of advisories may take to come over the network, in seconds.
const ADVISORIES_LIMIT: &str = "60";

/// One step.
pub(super) struct Step {
    /// As `--only` takes it.
    pub(super) name: &'static str,
    /// What it does, in a few words.
    pub(super) headline: &'static str,
    /// What the machine needs for it.
    pub(super) needs: &'static [Need],
    /// Does it.
    pub(super) run: fn(&Repository, &SetUp) -> Result<Done, TaskError>,
}

/// What a machine may lack, in the order in which it is seen to: first what may need a person's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// The programs of a PostgreSQL server.
    PostgreSql,
    /// A tool that cargo can build.
    Tool(Tool),
}

/// A step that did not fail.
pub(super) enum Done {
    /// All that it checks holds.
    Checked,
    /// It could not check, for a reason outside of this repository.
    CouldNotBeChecked(String),
}

pub(super) const STEPS: [Step; 10] = [
    Step {
        name: "format",
        headline: "every file is formatted (rustfmt)",
        needs: &[],
        run: |repository, _| cargo(repository, &["fmt", "--all", "--check"]),
    },
    Step {
        name: "tree",
        headline: "the command depends on nothing that it must do without",
        needs: &[],
        run: |repository, _| check_tree::run(repository).map(|()| Done::Checked),
    },
    Step {
        name: "dependencies",
        headline: "licences, sources and bans of all dependencies (cargo-deny)",
        needs: &[Need::Tool(Tool::CargoDeny)],
        run: dependencies,
    },
    Step {
        name: "advisories",
        headline: "no dependency has a known weakness (RustSec)",
        needs: &[Need::Tool(Tool::CargoDeny)],
        run: advisories,
    },
    Step { name: "clippy", headline: "no warning anywhere (clippy)", needs: &[], run: clippy },
    Step {
        name: "tests",
        headline: "unit, contract and flow tests (nextest)",
        needs: &[Need::Tool(Tool::CargoNextest), Need::PostgreSql],
        run: |repository, set_up| nextest(repository, set_up, &format!("not {END_TO_END_TESTS}")),
    },
    Step {
        name: "documentation-tests",
        headline: "the examples in the documentation run",
        needs: &[],
        run: |repository, _| cargo(repository, &["test", "--locked", "--workspace", "--doc"]),
    },
    Step {
        name: "end-to-end",
        headline: "the built command, with real databases in real local instances",
        needs: &[Need::Tool(Tool::CargoNextest), Need::PostgreSql],
        run: end_to_end,
    },
    Step {
        name: "documentation",
        headline: "the documentation builds without a warning (rustdoc)",
        needs: &[],
        run: documentation,
    },
    Step {
        name: "aws",
        headline: "adapters on emulators of AWS, templates, the deployed stack",
        needs: &[Need::Tool(Tool::CargoNextest)],
        run: aws,
    },
];

/// The names of all steps.
pub(crate) fn step_names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

fn cargo(repository: &Repository, arguments: &[&str]) -> Result<Done, TaskError> {
    Program::cargo(repository).arguments(arguments).run().map(|()| Done::Checked)
}

/// With the programs for AWS, and without them as most people build: what only one of the two uses is unused in the
/// other. Dependencies have the same features in both, so that aws-sdk-ec2 is checked once.
fn clippy(repository: &Repository, _: &SetUp) -> Result<Done, TaskError> {
    let plain = ["clippy", "--locked", "--workspace", "--all-targets"];
    for features in [&["--all-features"][..], &[]] {
        let arguments: Vec<&str> = [&plain[..], features, &["--", "--deny", "warnings"]].concat();
        cargo(repository, &arguments)?;
    }
    Ok(Done::Checked)
}

fn aws(repository: &Repository, set_up: &SetUp) -> Result<Done, TaskError> {
    let nextest = set_up.program(Tool::CargoNextest);
    let unchecked = e2e_aws::everything(repository, &nextest, &e2e_aws::Arguments::default())?;
    Ok(if unchecked.is_empty() { Done::Checked } else { Done::CouldNotBeChecked(unchecked.join("; ")) })
}

fn dependencies(repository: &Repository, set_up: &SetUp) -> Result<Done, TaskError> {
    Program::new(repository, set_up.program(Tool::CargoDeny))
        .arguments(["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
        .run()
        .map(|()| Done::Checked)
}

/// The database lives on the network. Without it nothing is known, and that is said; with it, a finding is a failure.
fn advisories(repository: &Repository, set_up: &SetUp) -> Result<Done, TaskError> {
    if let Err(error) = fetch_advisories(repository, set_up) {
        speech::say(&format!("Not checked: {error}. Run this step where the network allows it."));
        return Ok(Done::CouldNotBeChecked("the database of advisories cannot be had from here".to_owned()));
    }
    Program::new(repository, set_up.program(Tool::CargoDeny))
        .arguments(["--locked", "check", "--disable-fetch", "--hide-inclusion-graph", "advisories"])
        .run()
        .map(|()| Done::Checked)
}

/// Under `timeout`, which also ends what the program has started: a network that swallows everything answers never.
fn fetch_advisories(repository: &Repository, set_up: &SetUp) -> Result<(), TaskError> {
    Program::new(repository, "timeout")
        .arguments(["--kill-after=5", ADVISORIES_LIMIT])
        .arguments([set_up.program(Tool::CargoDeny)])
        .arguments(["--locked", "fetch", "db"])
        .run()
}

/// All of the workspace is named, and tests are chosen by a filter: naming packages would choose other features of
/// shared dependencies, and build them again.
fn nextest(repository: &Repository, set_up: &SetUp, filter: &str) -> Result<Done, TaskError> {
    nextest_program(repository, set_up, filter).run().map(|()| Done::Checked)
}

fn nextest_program(repository: &Repository, set_up: &SetUp, filter: &str) -> Program {
    let arguments = ["nextest", "run", "--locked", "--workspace", "--all-features", "--filterset", filter];
    Program::new(repository, set_up.program(Tool::CargoNextest)).arguments(arguments)
}

fn end_to_end(repository: &Repository, set_up: &SetUp) -> Result<Done, TaskError> {
    Program::cargo(repository).arguments(["build", "--locked", "--workspace", "--bins"]).run()?;
    nextest_program(repository, set_up, END_TO_END_TESTS)
        .variable("REKINDLE_PROGRAM", repository.target().join("debug").join("rekindle"))
        .run()
        .map(|()| Done::Checked)
}

fn documentation(repository: &Repository, _: &SetUp) -> Result<Done, TaskError> {
    Program::cargo(repository)
        .arguments(["doc", "--locked", "--workspace", "--all-features", "--no-deps"])
        .variable("RUSTDOCFLAGS", "--deny warnings")
        .run()
        .map(|()| Done::Checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let mut names = step_names();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
