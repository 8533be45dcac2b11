//! The verbs.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::error::TaskError;
use crate::repository::Repository;
use crate::{build_time, check_tree, speech, test};

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                      everything: set-up, every check, every test
  cargo xtask test --list               what that is
  cargo xtask test --only clippy        one step of it
  cargo xtask test --keep-going         all steps, also after one that failed
  cargo xtask check-tree                what the `rekindle` command must not depend on
  cargo xtask build-time                how long a clean release build takes here";

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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_step_that_does_not_exist_is_refused() {
        assert!(CommandLine::try_parse_from(["xtask", "test", "--only", "nonsense"]).is_err());
        assert!(CommandLine::try_parse_from(["xtask", "test", "--only", "clippy", "--keep-going"]).is_ok());
    }
}
