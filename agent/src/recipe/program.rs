//! Runs the programs of a recipe: with a time limit, without a shell, and without their words in our errors.
//!
//! What a program writes to its standard error goes into a log file of the instance, and never into an error that
//! leaves it: a database's message may quote a row. The agent's own helper commands end with one line that is made
//! for reports; only that line is read back.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rekindle_step::{ErrorName, StepError};
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::placeholder::{self, Parameters, Values};
use super::{Action, Step};
use crate::PROGRAM_NAME;
use crate::error::{failed, file, system};

const LONGEST_ANSWER_BYTES: u64 = 8 * 1024 * 1024;
const LONGEST_LOG_BYTES: u64 = 1024 * 1024;
const LOG_TAIL_BYTES: u64 = 4096;

/// Where programs run: which file the agent is, where they log, and for which data store.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) agent: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) data_store: String,
    pub(crate) action: Action,
    pub(crate) parameters: Parameters,
    pub(crate) values: Values,
}

impl Surroundings {
    pub(crate) fn log_path(&self) -> PathBuf {
        self.logs.join(format!("{}-{}.log", self.data_store, self.action.name()))
    }

    fn arguments(&self, step: &Step) -> Result<Vec<String>, StepError> {
        let mut values = self.values.clone();
        values.insert("agent", self.agent.to_string_lossy().into_owned());
        values.insert("data_store", self.data_store.clone());
        placeholder::fill(&step.run, &self.parameters, &values)
    }

    fn command(&self, step: &Step) -> Result<Command, StepError> {
        let arguments = self.arguments(step)?;
        let Some((program, rest)) = arguments.split_first() else {
            return Err(failed("a step of the recipe names no program"));
        };
        let mut command = match step.run_as {
            None => Command::new(program),
            Some(user) => {
                let user = user.to_string();
                let mut command = Command::new(&self.agent);
                command.args(["run-as", &user, &user, "--", program]);
                command
            }
        };
        if step.run_as.is_some() || Path::new(program) == self.agent {
            command.arg0(PROGRAM_NAME);
        }
        command.args(rest).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C").env("TZ", "UTC").env("HOME", "/");
        // A group of its own, so that whatever it starts ends with it.
        command.process_group(0).kill_on_drop(true).current_dir("/");
        Ok(command)
    }
}

/// What a program wrote to its standard output.
#[derive(Debug)]
pub(crate) struct Captured {
    bytes: Vec<u8>,
}

impl Captured {
    /// The text without the line end that closes it.
    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }
}

/// A program that was started. Dropping it kills it and what it started.
#[derive(Debug)]
pub(crate) struct RunningProgram {
    child: Child,
    group: Option<Pid>,
    name: String,
    is_helper: bool,
    log: PathBuf,
    log_from: u64,
    timeout: Duration,
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        self.kill();
    }
}

impl RunningProgram {
    /// Kills it and what it started, before it can take the end of its input for the end of the data.
    pub(crate) fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits for its success.
    pub(crate) async fn finish(mut self) -> Result<(), StepError> {
        let status = match tokio::time::timeout(self.timeout, self.child.wait()).await {
            Ok(status) => {
                status.map_err(|error| system(format!("waiting for {} failed", self.name), error))?
            }
            Err(_) => return Err(self.timed_out()),
        };
        if status.success() {
            self.group = None;
            return Ok(());
        }
        Err(self.failure(status))
    }

    fn timed_out(&mut self) -> StepError {
        self.kill();
        StepError::new(
            ErrorName::RecipeFailed,
            format!("{} was killed after {} s", self.name, self.timeout.as_secs()),
        )
        .next_step("Give the step of the recipe more time, or find out what it waits for")
    }

    fn failure(&self, status: ExitStatus) -> StepError {
        let said = tail(&self.log, self.log_from);
        if let Some(error) = self.is_helper.then(|| last_words(&said)).flatten() {
            return error;
        }
        let name = match said.contains("No space left on device") {
            true => ErrorName::DiskFull,
            false => ErrorName::RecipeFailed,
        };
        StepError::new(name, format!("{} ended with {status}", self.name))
            .next_step(format!("What it said is inside the instance, in {}", self.log.display()))
    }
}

/// Runs one program to its end and gives what it wrote.
pub(crate) async fn run(surroundings: &Surroundings, step: &Step) -> Result<Captured, StepError> {
    let mut program = start(surroundings, step, Stdio::null(), Stdio::piped())?;
    let Some(output) = program.child.stdout.take() else {
        return Err(failed("a program has no standard output"));
    };
    let mut bytes = Vec::new();
    let read = output.take(LONGEST_ANSWER_BYTES + 1);
    tokio::pin!(read);
    match tokio::time::timeout(program.timeout, read.read_to_end(&mut bytes)).await {
        Ok(read) => read.map_err(|error| system(format!("reading from {} failed", program.name), error))?,
        Err(_) => return Err(program.timed_out()),
    };
    if bytes.len() as u64 > LONGEST_ANSWER_BYTES {
        return Err(StepError::new(
            ErrorName::RecipeFailed,
            format!("{} wrote more than the {LONGEST_ANSWER_BYTES} bytes that are read", program.name),
        ));
    }
    program.finish().await?;
    Ok(Captured { bytes })
}

/// Runs programs one after the other; the first that fails stops it.
pub(crate) async fn run_all(surroundings: &Surroundings, steps: &[Step]) -> Result<(), StepError> {
    for step in steps {
        run(surroundings, step).await?;
    }
    Ok(())
}

/// Starts the program that takes the data, with the pipe into it.
pub(crate) fn start_writing(
    surroundings: &Surroundings,
    step: &Step,
) -> Result<(RunningProgram, File), StepError> {
    let mut program = start(surroundings, step, Stdio::piped(), Stdio::null())?;
    let pipe = program.child.stdin.take().map(tokio::process::ChildStdin::into_owned_fd);
    Ok((program, pipe_file(pipe)?))
}

/// Starts the program that gives the data, with the pipe out of it.
pub(crate) fn start_reading(
    surroundings: &Surroundings,
    step: &Step,
) -> Result<(RunningProgram, File), StepError> {
    let mut program = start(surroundings, step, Stdio::null(), Stdio::piped())?;
    let pipe = program.child.stdout.take().map(tokio::process::ChildStdout::into_owned_fd);
    Ok((program, pipe_file(pipe)?))
}

fn pipe_file(pipe: Option<std::io::Result<OwnedFd>>) -> Result<File, StepError> {
    match pipe {
        Some(Ok(descriptor)) => Ok(File::from(descriptor)),
        Some(Err(error)) => Err(system("using the pipe of a program failed", error)),
        None => Err(failed("a program has no pipe")),
    }
}

fn start(
    surroundings: &Surroundings,
    step: &Step,
    input: Stdio,
    output: Stdio,
) -> Result<RunningProgram, StepError> {
    let log = surroundings.log_path();
    let (log_file, log_from) = open_log(&log)?;
    let name = format!("{} of {}", surroundings.action.name(), surroundings.data_store);
    let child = surroundings
        .command(step)?
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::from(log_file))
        .spawn()
        .map_err(|error| not_started(&name, step, error))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let is_helper = step.run.first().is_some_and(|program| program == "{agent}");
    Ok(RunningProgram { child, group, name, is_helper, log, log_from, timeout: step.timeout() })
}

fn not_started(name: &str, step: &Step, error: std::io::Error) -> StepError {
    let program = step.run.first().map_or("nothing", String::as_str);
    StepError::new(ErrorName::RecipeFailed, format!("the program {program} for {name} could not be started"))
        .because(error)
        .next_step("Install it in the image, or correct the recipe")
}

fn open_log(path: &Path) -> Result<(File, u64), StepError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
    }
    let opened = File::options().create(true).append(true).open(path);
    let opened = opened.map_err(|error| file("opening the log", path, error))?;
    let length = opened.metadata().map_err(|error| file("reading the log", path, error))?.len();
    if length <= LONGEST_LOG_BYTES {
        return Ok((opened, length));
    }
    opened.set_len(0).map_err(|error| file("shortening the log", path, error))?;
    Ok((opened, 0))
}

fn tail(log: &Path, from: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut opened) = File::open(log) {
        let length = opened.metadata().map_or(0, |description| description.len());
        let from = from.max(length.saturating_sub(LOG_TAIL_BYTES));
        if opened.seek(SeekFrom::Start(from)).is_ok() {
            let _ = opened.take(LOG_TAIL_BYTES).read_to_end(&mut bytes);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The line that a helper ends with: `rekindle-agent: <name>: <sentence>`.
pub(crate) fn last_line_of(error: &StepError) -> String {
    format!("{PROGRAM_NAME}: {}: {}", error.name, error.chain().replace('\n', " "))
}

fn last_words(said: &str) -> Option<StepError> {
    let line = said.lines().rev().find_map(|line| line.strip_prefix(PROGRAM_NAME)?.strip_prefix(": "))?;
    let (name, sentence) = line.split_once(": ")?;
    Some(StepError::new(ErrorName::parse(name)?, sentence))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot start programs has failed")]
    use super::*;
    use crate::recipe::{Recipe, builtin_recipes};

    fn step(arguments: &[&str], seconds: u32) -> Step {
        let text = builtin_recipes()[0].text.to_owned();
        let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let added = format!("[[activate]]\nrun = [{}]\ntimeout_seconds = {seconds}\n", quoted.join(", "));
        let recipe = Recipe::parse(&format!("{text}\n{added}")).unwrap();
        recipe.steps(Action::Activate).last().unwrap().clone()
    }

    fn surroundings(logs: &Path) -> Surroundings {
        Surroundings {
            agent: "/nonexistent/agent".into(),
            logs: logs.to_owned(),
            data_store: "orders".to_owned(),
            action: Action::Activate,
            parameters: Parameters::default(),
            values: Values::new(),
        }
    }

    #[tokio::test]
    async fn a_program_answers_fails_or_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let here = surroundings(folder.path());
        let answer = run(&here, &step(&["/bin/echo", "$HOME `id`"], 5)).await.unwrap();
        assert_eq!(answer.text(), "$HOME `id`");
        let error = run(&here, &step(&["/bin/ls", "/nonexistent/row"], 5)).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RecipeFailed);
        assert!(!error.chain().contains("row"), "a program's words left the instance: {}", error.chain());
        assert!(std::fs::read_to_string(here.log_path()).unwrap().contains("/nonexistent/row"));
        let slow = run(&here, &step(&["/bin/sleep", "60"], 1)).await.unwrap_err();
        assert!(slow.what.contains("killed after 1 s"));
        let absent = run(&here, &step(&["/nonexistent/program"], 5)).await.unwrap_err();
        assert_eq!(absent.name, ErrorName::RecipeFailed);
    }

    #[test]
    fn a_helpers_last_line_is_its_error() {
        let error = StepError::new(ErrorName::DiskFull, "writing failed").next_step("Make room");
        let read = last_words(&format!("noise\n{}\n", last_line_of(&error))).unwrap();
        assert_eq!((read.name, read.what.as_str()), (ErrorName::DiskFull, "writing failed. Make room"));
        assert!(last_words("rekindle-agent: Made.Up: x").is_none());
    }
}
