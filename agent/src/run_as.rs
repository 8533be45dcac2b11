//! Runs a program that believes to be another user: in a user namespace whose one user is the caller.
//!
//! Database servers refuse to run as root. Inside an instance there may be no other user to become, and none is
//! needed: the files stay the caller's.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rekindle_step::{ErrorName, StepError};
use rustix::thread::UnshareFlags;

use crate::PROGRAM_NAME;

/// Becomes the program. Returns only when that was not possible.
///
/// Has to be called while this process has one thread.
pub(crate) fn run_as(user: u32, group: u32, program: &[OsString]) -> StepError {
    let Some((path, arguments)) = program.split_first() else {
        return failed("run-as was given no program");
    };
    let caller = rustix::process::geteuid();
    if caller.as_raw() != user
        && let Err(error) = enter_namespace(user, group)
        && caller.is_root()
    {
        return failed("making a user namespace failed").because(error).next_step(
            "Allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1, or user.max_user_namespaces above 0",
        );
    }
    let mut command = Command::new(path);
    if std::env::current_exe().is_ok_and(|own| own == Path::new(path)) {
        command.arg0(PROGRAM_NAME);
    }
    let error = command.args(arguments).exec();
    failed(format!("the program {} could not be started", Path::new(path).display())).because(error)
}

fn failed(what: impl Into<String>) -> StepError {
    StepError::new(ErrorName::RecipeFailed, what)
}

fn enter_namespace(user: u32, group: u32) -> io::Result<()> {
    let (caller, callers_group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: only the user namespace is unshared, never the table of file descriptors, and this process has one
    // thread, so no thread can lose sight of another one's descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{user} {caller} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{group} {callers_group} 1"))
}
