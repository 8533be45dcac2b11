//! Runs a program under another user id, for programs that refuse to run as root.
//!
//! Database servers refuse root, and inside an instance there is nobody else: one identity is all that an ordinary
//! user can give. So the program gets a user namespace in which the caller is seen as somebody else. It sees the
//! caller's files as its own, and everything else as `nobody`'s. Nothing is gained and nothing is lost by it.

use std::ffi::OsString;
use std::fmt;
use std::process::{Command, ExitCode};

use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use crate::helper::complain;
use crate::kernel::become_program;
use crate::namespaces::SingleIdentity;

/// The exit code when the program could not be started, as shells have it.
const NOT_STARTED: u8 = 126;

/// Why a program could not be run under another user id.
#[derive(Debug, thiserror::Error)]
pub enum RunAsError {
    /// The arguments are not `<user> <group> -- program arguments…`.
    #[error("expected: <user id> <group id> -- program arguments…")]
    Arguments,
    /// The user namespace could not be made.
    #[error("cannot become user {user}: {source}")]
    Identity {
        /// Which user.
        user: u32,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// The program could not be started.
    #[error("cannot start {program}: {source}")]
    Program {
        /// Which program.
        program: String,
        /// What the kernel says.
        source: std::io::Error,
    },
}

/// For a hidden subcommand `run-as <user id> <group id> -- program arguments…`: becomes that program.
///
/// To be called as the very first thing in `main`: the process must have one thread. It returns only when the program
/// could not be started, having said why on standard error.
pub fn run_as_command(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Err(error) = Invocation::parse(arguments)
        .and_then(|invocation| run_as(invocation.user, invocation.group, invocation.command));
    complain(&error);
    ExitCode::from(NOT_STARTED)
}

/// Becomes the program, seen as this user and group; returns only with an error. The process must have one thread.
///
/// # Errors
/// When the user namespace cannot be made, or the program cannot be started.
pub fn run_as(user: u32, group: u32, command: Command) -> Result<std::convert::Infallible, RunAsError> {
    // Who is that user already needs no namespace, and it may be that there can be none.
    if (geteuid().as_raw(), getegid().as_raw()) != (user, group) {
        SingleIdentity::seen_as(user, group)
            .enter(UnshareFlags::empty())
            .map_err(|source| RunAsError::Identity { user, source })?;
    }
    let program = command.get_program().to_string_lossy().into_owned();
    become_program(command).map_err(|source| RunAsError::Program { program, source })
}

struct Invocation {
    user: u32,
    group: u32,
    command: Command,
}

impl fmt::Debug for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{} {:?}", self.user, self.group, self.command)
    }
}

impl Invocation {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, RunAsError> {
        let mut arguments = arguments.into_iter();
        let mut number = || arguments.next().and_then(|text| text.to_str()?.parse().ok());
        let (Some(user), Some(group)) = (number(), number()) else { return Err(RunAsError::Arguments) };
        if arguments.next().is_none_or(|word| word != "--") {
            return Err(RunAsError::Arguments);
        }
        let mut command = Command::new(arguments.next().ok_or(RunAsError::Arguments)?);
        command.args(arguments);
        Ok(Self { user, group, command })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn only_the_documented_form_is_read() {
        let parse = |text: &str| Invocation::parse(text.split(' ').map(OsString::from));
        let invocation = parse("999 998 -- initdb -D /var/lib/data").unwrap();
        assert_eq!((invocation.user, invocation.group), (999, 998));
        assert_eq!(invocation.command.get_args().count(), 2);
        for text in ["999", "999 999 initdb", "postgres postgres -- initdb", "999 999 --", "-1 0 -- initdb"] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
