//! Between the owner and its helpers: one socket, which is also the lifeline.
//!
//! The owner sends one line that says what to do, and later words like `stop`. The helper sends events, one a line.
//! When the owner ends, however it ends, the kernel closes its side, and everything that the helper started ends.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rekindle_cloud::CloudError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Explain as _, refused, uncertain};

/// In the environment of every process that the cloud starts: whose it is.
pub(crate) const STATE_MARKER: &str = "REKINDLE_LOCAL_STATE";
/// The search path inside instances and helpers.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const PATIENCE: Duration = Duration::from_secs(30);

/// What a helper tells its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The first process of the instance exists, under this id in the owner's PID namespace.
    Forked(i32),
    /// Everything is in place.
    Started,
    /// It could not be done; the sentence says why.
    Failed(String),
}

/// A helper that the owner has started.
#[derive(Debug)]
pub(crate) struct Helper {
    /// The process.
    pub(crate) child: Child,
    /// The owner's end of the lifeline. Closed at exec by the kernel, so that no other child keeps it open.
    pub(crate) lifeline: UnixStream,
    events: BufReader<UnixStream>,
}

/// How a helper is started.
#[derive(Debug)]
pub(crate) struct HelperStart<'a> {
    /// The program and its first arguments.
    pub(crate) command: &'a [OsString],
    /// What it is to be: `network` or `instance`.
    pub(crate) role: &'a str,
    /// For people who look at the process list.
    pub(crate) label: &'a str,
    /// Whose it is.
    pub(crate) state_directory: &'a Path,
    /// Where it works.
    pub(crate) directory: &'a Path,
    /// Where its complaints go.
    pub(crate) complaints: &'a Path,
}

impl Helper {
    /// Starts a helper and tells it what to do.
    pub(crate) fn start(start: &HelperStart<'_>, task: &impl Serialize) -> Result<Self, CloudError> {
        let (ours, theirs) = UnixStream::pair().explain(|| "cannot make a pair of sockets".into())?;
        let complaints = File::create(start.complaints)
            .explain(|| format!("cannot write {}", start.complaints.display()))?;
        let mut text = serde_json::to_string(task).explain(|| "cannot write the helper's task".into())?;
        text.push('\n');
        let reader = ours.try_clone().explain(|| "cannot copy a descriptor".into())?;
        reader.set_read_timeout(Some(PATIENCE)).explain(|| "cannot set a time-out".into())?;
        // The task waits in the socket. A helper that cannot be started leaves nothing but the socket's two ends.
        (&ours).write_all(text.as_bytes()).explain(|| "cannot write the helper's task".into())?;
        let child = spawn(start, theirs, complaints)?;
        Ok(Self { child, lifeline: ours, events: BufReader::new(reader) })
    }

    /// The next thing that the helper has to say.
    pub(crate) fn next_event(&mut self) -> Result<Event, CloudError> {
        let mut line = String::new();
        let length =
            self.events.read_line(&mut line).explain(|| "the helper did not answer in time".into())?;
        if length == 0 {
            return Err(uncertain("the helper ended without saying why"));
        }
        serde_json::from_str(&line).explain(|| format!("the helper said {line:?}"))
    }

    /// Waits until the helper says that everything is in place; other events go to the closure.
    pub(crate) fn wait_until_started(&mut self, mut other: impl FnMut(Event)) -> Result<(), CloudError> {
        loop {
            match self.next_event()? {
                Event::Started => return Ok(()),
                Event::Failed(why) => return Err(refused(why)),
                event @ Event::Forked(_) => other(event),
            }
        }
    }
}

fn spawn(start: &HelperStart<'_>, lifeline: UnixStream, complaints: File) -> Result<Child, CloudError> {
    let Some((program, arguments)) = start.command.split_first() else {
        return Err(refused("no helper command was given"));
    };
    Command::new(program)
        .args(arguments)
        .args([start.role, start.label])
        // Not read by the helper: so that whoever looks at the process list sees whose it is.
        .arg(start.state_directory)
        // What the operator has in the environment, credentials above all, is no business of an instance.
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env(STATE_MARKER, start.state_directory)
        .current_dir(start.directory)
        .stdin(Stdio::from(OwnedFd::from(lifeline)))
        .stdout(Stdio::null())
        .stderr(complaints)
        // A key pressed in the owner's terminal is for the owner.
        .process_group(0)
        .spawn()
        .explain(|| format!("cannot start {}", Path::new(program).display()))
}

/// The helper's end.
#[derive(Debug)]
pub(crate) struct Control {
    /// The socket.
    pub(crate) socket: UnixStream,
}

impl Control {
    /// Takes the socket from standard input, and puts nothing in its place.
    pub(crate) fn take() -> io::Result<Self> {
        let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let nothing = File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        Ok(Self { socket: UnixStream::from(socket) })
    }

    /// What to do.
    pub(crate) fn read_task<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        // The owner says nothing more before it has heard of us: the buffer holds this line only.
        BufReader::new(&self.socket).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Tells the owner something. That it no longer listens is found out elsewhere.
    pub(crate) fn tell(&self, event: &Event) {
        if let Ok(mut text) = serde_json::to_string(event) {
            text.push('\n');
            drop((&self.socket).write_all(text.as_bytes()));
        }
    }
}
