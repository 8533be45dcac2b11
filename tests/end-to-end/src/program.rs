//! The built command.

use std::path::PathBuf;
use std::process::Command;

/// Names the built command, where it is not beside the tests.
const VARIABLE: &str = "REKINDLE_PROGRAM";

/// What would make one run of the command different from the next.
const SURROUNDINGS: [&str; 7] =
    ["RUST_LOG", "XDG_STATE_HOME", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "TERM"];

/// Where the built command is.
///
/// # Panics
/// With a sentence, when it was not built.
pub fn built() -> PathBuf {
    let program = std::env::var_os(VARIABLE).map_or_else(beside_the_tests, PathBuf::from);
    assert!(
        program.is_file(),
        "there is no built command at {}: build it with `cargo build -p rekindle`, or name it in {VARIABLE}",
        program.display()
    );
    program
}

/// The tests are in `deps`, the commands one folder above.
fn beside_the_tests() -> PathBuf {
    let tests = std::env::current_exe().expect("the test program cannot find itself");
    let folder = tests.parent().and_then(|deps| deps.parent()).expect("the test program is in no folder");
    folder.join("rekindle")
}

/// The built command, with nothing of this machine's settings.
pub fn command() -> Command {
    without_surroundings(Command::new(built()))
}

/// Takes away what would make one run different from the next.
pub(crate) fn without_surroundings(mut command: Command) -> Command {
    for variable in SURROUNDINGS {
        command.env_remove(variable);
    }
    command
}
