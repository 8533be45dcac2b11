//! Starts the service's programs, keeps them running, and bounds what they log.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rekindle_domain::configuration::ConfiguredProgram;
use rekindle_step::StepError;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::files::read_json;
use crate::places::Places;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A program that ran this long has earned a quick restart.
const STEADY: Duration = Duration::from_secs(30);
const TIME_TO_STOP: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_secs(1);
const LONGEST_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// The programs of the applied configuration.
pub(crate) fn configured(places: &Places) -> Result<Vec<ConfiguredProgram>, StepError> {
    Ok(read_json(&places.programs())?.unwrap_or_default())
}

/// What is running.
#[derive(Debug)]
pub struct Programs {
    logs: PathBuf,
    running: Mutex<BTreeMap<String, Supervised>>,
}

#[derive(Debug)]
struct Supervised {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Programs {
    pub(crate) fn logging_into(logs: PathBuf) -> Self {
        Self { logs, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Supervised>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program and restarts it whenever it ends; one that runs already is left alone.
    pub fn start(&self, program: &ConfiguredProgram) {
        let mut running = self.running();
        if running.contains_key(&program.name) {
            return;
        }
        let stop = CancellationToken::new();
        let log = self.logs.join(format!("{}.log", program.name));
        let task = tokio::spawn(supervise(program.clone(), log, stop.clone()));
        running.insert(program.name.clone(), Supervised { stop, task });
    }

    /// Stops all programs and waits until they are gone.
    pub async fn stop_all(&self) {
        let stopping = std::mem::take(&mut *self.running());
        for supervised in stopping.values() {
            supervised.stop.cancel();
        }
        for (name, supervised) in stopping {
            if supervised.task.await.is_err() {
                tracing::warn!(program = name, "its supervision ended unexpectedly");
            }
        }
    }
}

async fn supervise(program: ConfiguredProgram, log: PathBuf, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let started = tokio::time::Instant::now();
        match run_once(&program, &log, &stop).await {
            Ok(()) => tracing::warn!(program = program.name, "the program ended"),
            Err(error) => {
                tracing::warn!(program = program.name, error = %error, "the program could not be run");
            }
        }
        if started.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn run_once(program: &ConfiguredProgram, log: &Path, stop: &CancellationToken) -> io::Result<()> {
    let Some((path, arguments)) = program.command.split_first() else {
        return Err(io::Error::other("it has no command"));
    };
    let mut child = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    // Also while the program stops: whoever says good-bye into a closed pipe is killed by it.
    let logging = tokio::spawn(log_output(child.stdout.take(), child.stderr.take(), log.to_owned()));
    let ended = tokio::select! {
        status = child.wait() => status.map(|status| tracing::info!(program = program.name, %status, "ended")),
        () = stop.cancelled() => stop_child(&mut child).await,
    };
    // Something that the program left behind may still hold its output.
    let stop_logging = logging.abort_handle();
    if tokio::time::timeout(LAST_WORDS, logging).await.is_err() {
        stop_logging.abort();
    }
    ended
}

async fn log_output(output: Option<ChildStdout>, errors: Option<ChildStderr>, path: PathBuf) {
    let log = tokio::sync::Mutex::new(BoundedLog::open(&path).await.ok());
    tokio::join!(copy(output, &log), copy(errors, &log));
}

async fn stop_child(child: &mut Child) -> io::Result<()> {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
    }
    if tokio::time::timeout(TIME_TO_STOP, child.wait()).await.is_err() {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        child.wait().await?;
    }
    Ok(())
}

/// Takes what a program says, also where it cannot be written: a full disk must not stop the service.
async fn copy(from: Option<impl AsyncRead + Unpin>, log: &tokio::sync::Mutex<Option<BoundedLog>>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0_u8; 8192];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        if let Some(log) = log.lock().await.as_mut()
            && let Err(error) = log.write(&buffer[..count]).await
        {
            tracing::warn!(log = %log.path.display(), %error, "what a program said is lost");
        }
    }
}

/// A log file that is moved aside when it is full, so that a talkative program cannot fill the disk.
struct BoundedLog {
    path: PathBuf,
    file: tokio::fs::File,
    length: u64,
}

impl BoundedLog {
    async fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let file = tokio::fs::File::options().create(true).append(true).open(path).await?;
        let length = file.metadata().await?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length + bytes.len() as u64 > LONGEST_LOG_BYTES {
            tokio::fs::rename(&self.path, self.path.with_extension("log.1")).await?;
            *self = Self::open(&self.path).await?;
        }
        self.file.write_all(bytes).await?;
        self.file.flush().await?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot start programs has failed")]
    use super::*;

    fn program(name: &str, command: &[&str]) -> ConfiguredProgram {
        let command = command.iter().map(|&part| part.to_owned()).collect();
        ConfiguredProgram { name: name.to_owned(), command, health_url: None }
    }

    #[tokio::test]
    async fn a_program_that_ends_is_started_again_and_stops_when_it_shall() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::logging_into(folder.path().to_owned());
        programs.start(&program("short", &["/bin/echo", "once more"]));
        programs.start(&program("long", &["/bin/sleep", "60"]));
        let log = folder.path().join("short.log");
        let twice = || std::fs::read_to_string(&log).unwrap_or_default().lines().count() >= 2;
        for _ in 0..200 {
            if twice() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(twice(), "the program was not restarted");
        let started = std::time::Instant::now();
        programs.stop_all().await;
        assert!(started.elapsed() < TIME_TO_STOP, "a program did not stop when asked");
    }

    #[tokio::test]
    async fn a_log_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talkative.log");
        let mut log = BoundedLog::open(&path).await.unwrap();
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..10 {
            log.write(&line).await.unwrap();
        }
        let stored: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(stored <= 2 * LONGEST_LOG_BYTES, "{stored}");
    }
}
