//! A demo that runs.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::account::Account;

/// Longest that is waited for a sentence: a machine that is busy with other things takes its time.
const PATIENCE: Duration = Duration::from_secs(240);

/// A demo that was started. It does not survive the test.
pub struct Demo {
    child: Child,
    narration: Arc<Narration>,
    readers: Option<(JoinHandle<()>, JoinHandle<String>)>,
}

/// A demo that has ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub narration: String,
}

impl Demo {
    /// Starts `rekindle demo` with these options.
    pub fn start(account: &Account, options: &[&str]) -> Self {
        let arguments: Vec<&str> = std::iter::once("demo").chain(options.iter().copied()).collect();
        Self::spawn(account.command(&arguments))
    }

    /// Starts a command, in a process group of its own, as a shell does.
    pub fn spawn(mut command: Command) -> Self {
        let mut child =
            command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let narration = Arc::<Narration>::default();
        let errors = listen(child.stderr.take().unwrap(), narration.clone());
        let output = collect(child.stdout.take().unwrap());
        Self { child, narration, readers: Some((errors, output)) }
    }

    /// Waits until standard error holds this text.
    ///
    /// # Panics
    /// When the demo ends without it.
    pub fn wait_until_it_says(&self, text: &str) {
        self.narration.wait_for(text);
    }

    /// What Ctrl-C does: the terminal interrupts all processes of the group.
    pub fn press_control_c(&self) {
        kill_process_group(self.id(), Signal::INT).unwrap();
    }

    /// Interrupts the command alone, as `kill -INT` does.
    pub fn interrupt(&self) {
        kill_process(self.id(), Signal::INT).unwrap();
    }

    /// Leaves it no chance to do anything.
    pub fn kill(&self) {
        kill_process(self.id(), Signal::KILL).unwrap();
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let (errors, output) = self.readers.take().unwrap();
        errors.join().unwrap();
        Ended { status, output: output.join().unwrap(), narration: self.narration.text() }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.readers.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[derive(Default)]
struct Narration {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Default)]
struct Heard {
    text: String,
    ended: bool,
}

impl Narration {
    fn hear(&self, line: &[u8]) {
        self.heard.lock().unwrap().text.push_str(&String::from_utf8_lossy(line));
        self.changed.notify_all();
    }

    fn end(&self) {
        self.heard.lock().unwrap().ended = true;
        self.changed.notify_all();
    }

    fn text(&self) -> String {
        self.heard.lock().unwrap().text.clone()
    }

    fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        let mut heard = self.heard.lock().unwrap();
        while !heard.text.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!heard.ended && !left.is_zero(), "the demo did not say {text:?} but:\n{}", heard.text);
            heard = self.changed.wait_timeout(heard, left).unwrap().0;
        }
    }
}

fn listen(errors: ChildStderr, narration: Arc<Narration>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(errors);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            narration.hear(&line);
            line.clear();
        }
        narration.end();
    })
}

fn collect(mut output: ChildStdout) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    })
}
