//! The first process of an instance: passes signals on to the agent, and buries the orphans of its engines.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;

use rekindle_step::StepError;
use rustix::process::{Pid, Signal, WaitOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::PROGRAM_NAME;
use crate::error::system;

const IS_CHILD: &str = "REKINDLE_AGENT_IS_CHILD";

/// Whether this process is the first one of its instance and has not yet started the agent as its child.
pub(crate) fn is_first_process() -> bool {
    rustix::process::getpid() == Pid::INIT && std::env::var_os(IS_CHILD).is_none()
}

/// Starts the agent again as a child, and ends with its exit code.
pub(crate) async fn run_below(arguments: &[std::ffi::OsString]) -> Result<ExitCode, StepError> {
    let program =
        std::env::current_exe().map_err(|error| system("finding the agent's program failed", error))?;
    let child = Command::new(program)
        .arg0(PROGRAM_NAME)
        .args(arguments)
        .env(IS_CHILD, "1")
        // glibc keeps what each thread freed: with its own policy the peak of a restore wanders up to 160 MiB, with
        // large blocks given back at once it stays at 43 MiB, whatever the size of the backup.
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .spawn()
        .map_err(|error| system("starting the agent failed", error))?;
    let listening = |kind| signal(kind).map_err(|error| system("listening for signals failed", error));
    let mut terminate = listening(SignalKind::terminate())?;
    let mut interrupt = listening(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => pass_on(&child, Signal::TERM),
            _ = interrupt.recv() => pass_on(&child, Signal::INT),
            // A missed SIGCHLD is found by the next look.
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        if let Some(code) = bury(&child) {
            return Ok(code);
        }
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn pass_on(child: &Child, signal: Signal) {
    if let Some(pid) = pid_of(child) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Takes the exit of every process that ended; the agent's own is the result.
fn bury(child: &Child) -> Option<ExitCode> {
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if Some(pid) == pid_of(child) {
            let status = ExitStatus::from_raw(status.as_raw());
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Some(ExitCode::from(code.unwrap_or(1)));
        }
    }
    None
}
