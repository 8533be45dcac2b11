//! The program that an instance exists for.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rekindle_cloud::CloudError;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::control::{SEARCH_PATH, STATE_MARKER};
use crate::error::{Explain as _, refused};
use crate::init::log::Log;
use crate::kernel::start_afresh;

/// Where an image says what its program is.
pub(crate) const PROGRAM_FILE: &str = "etc/rekindle/init.json";
/// Made by the program before it ends with success: then the instance powers off.
pub(crate) const POWER_OFF: &str = "/run/rekindle/power-off";
/// How often the program may fail before the instance powers off.
pub(crate) const TRIES: u32 = 3;
/// A program that has run this long has not failed at its start.
pub(crate) const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// The content of the image's program file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
}

impl Program {
    /// Reads it, inside the instance.
    pub(crate) fn read() -> Result<Self, CloudError> {
        let path = Path::new("/").join(PROGRAM_FILE);
        let text = fs::read(&path).explain(|| format!("the image has no {}", path.display()))?;
        let program: Self = serde_json::from_slice(&text)
            .explain(|| format!("the image's {} cannot be read", path.display()))?;
        if program.command.is_empty() {
            return Err(refused(format!("the image's {} names no program", path.display())));
        }
        Ok(program)
    }

    /// Starts it.
    pub(crate) fn start(&self, log: &Log) -> io::Result<Pid> {
        let mut command = inside(&self.command);
        command.stdin(Stdio::null()).stdout(log.writer()?).stderr(log.writer()?);
        spawn(command)
    }
}

/// How long to wait before the next try.
pub(crate) fn back_off(failures: u32) -> Duration {
    Duration::from_millis(200) * 4_u32.saturating_pow(failures.saturating_sub(1))
}

/// A command with the environment that programs find inside.
pub(crate) fn inside(words: &[String]) -> Command {
    let (program, arguments) =
        words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("HOME", "/root")
        .env("USER", "root")
        .env("LOGNAME", "root")
        .env("SHELL", "/bin/sh")
        .env("LANG", "C.UTF-8")
        .envs(std::env::var_os(STATE_MARKER).map(|value| (STATE_MARKER, value)))
        .current_dir("/");
    start_afresh(&mut command);
    command
}

/// Starts it; whoever reaps all children will see its end.
pub(crate) fn spawn(mut command: Command) -> io::Result<Pid> {
    let child = command.spawn()?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
