//! Programs that are run: from the top of the repository, with their output going straight to the terminal.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use crate::error::TaskError;
use crate::repository::Repository;
use crate::speech;

/// A program and its arguments, not yet started.
pub(crate) struct Program {
    command: Command,
    shown: String,
}

impl Program {
    /// The program of this name, or at this path.
    pub(crate) fn new(repository: &Repository, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.current_dir(repository.top());
        if speech::is_plain_text_asked_for() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
            command.env("CARGO_TERM_COLOR", "never");
        }
        let shown = PathBuf::from(program.as_ref())
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self { command, shown }
    }

    /// The cargo that runs this program, held to the versions in `Cargo.lock`.
    pub(crate) fn cargo(repository: &Repository) -> Self {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Self::new(repository, program)
    }

    /// Adds arguments.
    pub(crate) fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<(), TaskError> {
        speech::say(&format!("$ {}", self.shown));
        let status = self.command.status().map_err(|cause| self.not_started(cause))?;
        self.judge(status)
    }

    /// Runs it and gives what it wrote to its standard output.
    pub(crate) fn output(mut self) -> Result<String, TaskError> {
        let output =
            self.command.stderr(Stdio::inherit()).output().map_err(|cause| self.not_started(cause))?;
        self.judge(output.status)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it can be started and ends well; what it says is of no interest.
    pub(crate) fn succeeds_silently(mut self) -> bool {
        let status = self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn not_started(&self, cause: std::io::Error) -> TaskError {
        TaskError::NotStarted { program: self.command.get_program().to_string_lossy().into_owned(), cause }
    }

    fn judge(self, status: ExitStatus) -> Result<(), TaskError> {
        if status.success() {
            return Ok(());
        }
        Err(TaskError::Failed { command: self.shown, code: status.code() })
    }
}
