//! Powers the machine off once it is sealed.

use std::ffi::OsString;
use std::path::{Component, Path};
use std::process::Stdio;
use std::time::Duration;

use rekindle_step::StepError;
use tokio::process::Command;

use crate::error::{failed, system};

const TIME_FOR_IT: Duration = Duration::from_secs(60);

/// What the agent does when its instance is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AfterSealing {
    /// Power the machine off by this program and arguments. The launch template says that this stops the instance,
    /// which an image is then made of.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_ChangingInstanceInitiatedShutdownBehavior.html>
    PowerOff(Vec<OsString>),
    /// Nothing: this is a folder on somebody's machine.
    Exit,
}

/// An agent that was started under another root than `/` looks into a folder: the machine is not its own.
pub(super) fn after_sealing(root: &Path, command: &[OsString]) -> AfterSealing {
    let mut components = root.components();
    if components.next() == Some(Component::RootDir) && components.next().is_none() {
        return AfterSealing::PowerOff(command.to_vec());
    }
    AfterSealing::Exit
}

/// Asks the machine to power off.
///
/// # Errors
/// When it refuses. The service manager starts the agent anew then, which finds the seal and asks again.
pub(super) async fn power_off(command: &[OsString]) -> Result<(), StepError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(failed("there is no program that powers this machine off"));
    };
    tracing::info!(program = %program.display(), "powering off");
    let running = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).status();
    let status = tokio::time::timeout(TIME_FOR_IT, running)
        .await
        .map_err(|_| failed(format!("{} did not end in time", program.display())))?
        .map_err(|error| system(format!("starting {} failed", program.display()), error))?;
    if status.success() {
        return Ok(());
    }
    Err(failed(format!("{} did not power the machine off: {status}", program.display())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot start /bin/sh has failed")]
    use super::*;

    fn command(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn only_an_agent_at_the_root_of_a_machine_powers_it_off() {
        let wanted = command(&["systemctl", "poweroff"]);
        for root in ["/", "//", "/."] {
            assert_eq!(
                after_sealing(Path::new(root), &wanted),
                AfterSealing::PowerOff(wanted.clone()),
                "{root}"
            );
        }
        for folder in ["/tmp/instance", "/tmp/..", ".", "", "instance", "../../.."] {
            assert_eq!(after_sealing(Path::new(folder), &wanted), AfterSealing::Exit, "{folder}");
        }
    }

    #[tokio::test]
    async fn a_machine_that_refuses_is_an_error() {
        power_off(&command(&["/bin/sh", "-c", "exit 0"])).await.unwrap();
        for refusing in [command(&["/bin/sh", "-c", "exit 1"]), command(&["/nonexistent"]), Vec::new()] {
            assert!(power_off(&refusing).await.is_err(), "{refusing:?}");
        }
    }
}
