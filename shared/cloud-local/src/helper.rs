//! The hidden entry of the helpers: what [`LocalCloudOptions::helper_command`](crate::LocalCloudOptions) starts.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::control::Control;
use crate::{init, kernel, network};

/// Runs one of the helpers: `network` or `instance`.
///
/// To be called as the very first thing in `main`, while the process has one thread and no open files: a process with
/// threads cannot enter a user namespace. The arguments are those that follow the helper command.
pub fn run_helper(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    kernel::close_inherited_descriptors();
    let role = arguments.into_iter().next().unwrap_or_default();
    let done = Control::take().and_then(|control| match role.to_str() {
        Some("network") => network::process::run(control).map(|()| ExitCode::SUCCESS),
        Some("instance") => init::supervisor::run(control),
        _ => {
            Err(std::io::Error::other("this is started by rekindle itself; the role is network or instance"))
        }
    });
    done.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Standard error is the helper's log.
#[expect(clippy::print_stderr, reason = "a helper has no other place for its last words")]
pub(crate) fn complain(error: &dyn std::error::Error) {
    eprintln!("{error}");
}
