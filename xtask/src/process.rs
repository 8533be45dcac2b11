//! Programs that are run: from the top of the repository, with their output going straight to the terminal.

mod running;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;

use crate::error::TaskError;
use crate::interruption::{self, Interruption};
use crate::repository::Repository;
use crate::speech;
pub(crate) use running::Running;

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

    /// A program that is asked to end when this one is gone, however that came about.
    pub(crate) fn that_ends_with_us(repository: &Repository, program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let mut tied = Self::new(repository, "setpriv");
        tied.command.args(["--pdeathsig", "TERM", "--"]).arg(program);
        tied.shown = Self::new(repository, program).shown;
        tied
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

    /// Sets several.
    pub(crate) fn variables<'v>(mut self, pairs: impl IntoIterator<Item = &'v (String, String)>) -> Self {
        for (name, value) in pairs {
            self.command.env(name, value);
        }
        self
    }

    /// Keeps the variables that begin so from it.
    pub(crate) fn without_variables(mut self, beginning: &str) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(beginning) {
                self.command.env_remove(name);
            }
        }
        self
    }

    /// What it writes goes to standard error: standard output belongs to the data of the verb.
    pub(crate) fn beside_the_data(mut self) -> Self {
        self.command.stdout(std::io::stderr());
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<(), TaskError> {
        speech::progress(&format!("$ {}", self.shown));
        let status = self.command.status().map_err(|cause| self.not_started(cause))?;
        judge(&self.shown, status)
    }

    /// Runs it to its end, or ends it when somebody asks for that.
    pub(crate) fn run_unless_interrupted(mut self, interruption: &Interruption) -> Result<(), TaskError> {
        speech::progress(&format!("$ {}", self.shown));
        let child = self.command.spawn().map_err(|cause| self.not_started(cause))?;
        let mut running = Running::alone(child);
        let status = running.wait_unless_interrupted(interruption)?;
        judge(&self.shown, status)
    }

    /// Starts it in a process group of its own: it hears of no Ctrl-C, and all that it starts can be ended with it.
    pub(crate) fn start_as_server(mut self, log: &File) -> Result<Running, TaskError> {
        let copy = || log.try_clone().map_err(|cause| TaskError::file(&PathBuf::from("the log"), cause));
        self.command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?).process_group(0);
        let child = self.command.spawn().map_err(|cause| self.not_started(cause))?;
        Ok(Running::with_its_group(child))
    }

    /// Runs it and gives what it wrote to its standard output.
    pub(crate) fn output(mut self) -> Result<String, TaskError> {
        let output =
            self.command.stderr(Stdio::inherit()).output().map_err(|cause| self.not_started(cause))?;
        judge(&self.shown, output.status)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it, and gives what it wrote to its standard output; or, when it said no, what it complained of.
    pub(crate) fn attempt(mut self) -> Result<Result<String, String>, TaskError> {
        let output = self.command.stdin(Stdio::null()).output().map_err(|cause| self.not_started(cause))?;
        if was_interrupted(output.status) {
            return Err(TaskError::Interrupted);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
    }

    /// Whether it can be started and ends well; what it says is of no interest.
    pub(crate) fn succeeds_silently(mut self) -> bool {
        let status = self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn not_started(&self, cause: std::io::Error) -> TaskError {
        TaskError::NotStarted { program: self.command.get_program().to_string_lossy().into_owned(), cause }
    }
}

fn judge(shown: &str, status: ExitStatus) -> Result<(), TaskError> {
    if status.success() {
        return Ok(());
    }
    if was_interrupted(status) {
        return Err(TaskError::Interrupted);
    }
    Err(TaskError::Failed { command: shown.to_owned(), code: status.code() })
}

/// A Ctrl-C at the terminal reaches the program that runs as well as this one. That is no failure of the program's.
fn was_interrupted(status: ExitStatus) -> bool {
    let asking = [Signal::HUP, Signal::INT, Signal::TERM].map(Signal::as_raw);
    status.code() == Some(interruption::EXIT_CODE) || status.signal().is_some_and(|one| asking.contains(&one))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    #[test]
    fn a_program_that_was_interrupted_has_not_failed() {
        let repository = Repository::find().unwrap();
        let ended = |script: &str| Program::new(&repository, "sh").arguments(["-c", script]);
        for interrupted in ["exit 130", "kill -INT $$", "kill -TERM $$"] {
            assert!(matches!(ended(interrupted).run(), Err(TaskError::Interrupted)), "{interrupted}");
            assert!(matches!(ended(interrupted).attempt(), Err(TaskError::Interrupted)), "{interrupted}");
        }
        assert!(matches!(ended("exit 254").run(), Err(TaskError::Failed { code: Some(254), .. })));
        assert!(matches!(ended("kill -KILL $$").run(), Err(TaskError::Failed { code: None, .. })));
        assert_eq!(ended("echo no >&2; exit 1").attempt().unwrap(), Err("no".to_owned()));
    }
}
