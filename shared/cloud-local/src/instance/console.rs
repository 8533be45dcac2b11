//! The owner's side of the console.

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::time::Duration;

use rekindle_cloud::CloudError;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::error::{Explain as _, refused};
use crate::init::console::{LONGEST_REQUEST, RunAnswer, RunRequest};
use crate::init::supervisor::CONSOLE_SOCKET;

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOutput {
    /// Its exit code; 128 and the signal's number when it was killed.
    pub exit_code: i32,
    /// What it wrote, up to 4 MiB.
    pub stdout: Vec<u8>,
    /// What it complained about, up to 4 MiB.
    pub stderr: Vec<u8>,
    /// Whether it wrote more than that.
    pub truncated: bool,
}

/// How much of each stream is kept.
const LONGEST_OUTPUT: usize = 4 * 1024 * 1024;
/// How long to listen to what a command has left behind, which may never end.
const GRACE: Duration = Duration::from_millis(300);

/// Runs a command in the instance whose `run` folder this is. Ends the command when nobody waits for it any more.
pub(crate) async fn run(folder: &Path, command: &[String], input: &[u8]) -> Result<RunOutput, CloudError> {
    let what = || format!("{command:?} cannot be run inside");
    let (connection, streams) = request(folder, command).explain(what)?;
    streams.converse(connection, input).await.explain(what)?.map_err(refused)
}

/// Our ends of the command's streams.
struct Streams {
    input: pipe::Sender,
    output: pipe::Receiver,
    errors: pipe::Receiver,
}

fn request(folder: &Path, command: &[String]) -> io::Result<(UnixStream, Streams)> {
    let (their_input, input) = io::pipe()?;
    let (output, their_output) = io::pipe()?;
    let (errors, their_errors) = io::pipe()?;
    let directory = File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{CONSOLE_SOCKET}", directory.as_raw_fd());
    let connection = BlockingStream::connect(path)?;
    send(&connection, command, &[their_input.into(), their_output.into(), their_errors.into()])?;
    connection.set_nonblocking(true)?;
    let streams = Streams {
        input: pipe::Sender::from_owned_fd(input.into())?,
        output: pipe::Receiver::from_owned_fd(output.into())?,
        errors: pipe::Receiver::from_owned_fd(errors.into())?,
    };
    Ok((UnixStream::from_std(connection)?, streams))
}

fn send(mut connection: &BlockingStream, command: &[String], theirs: &[OwnedFd; 3]) -> io::Result<()> {
    let mut text = serde_json::to_vec(&RunRequest { command: command.to_vec() })?;
    text.push(b'\n');
    if text.len() > LONGEST_REQUEST {
        return Err(io::Error::other("the command is too long"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = theirs.each_ref().map(|one| one.as_fd());
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(connection, &[IoSlice::new(&text)], &mut control, SendFlags::empty())?;
    io::Write::write_all(&mut connection, text.get(sent..).unwrap_or_default())
}

impl Streams {
    /// The command's output, or why it could not be started.
    async fn converse(self, connection: UnixStream, input: &[u8]) -> io::Result<Result<RunOutput, String>> {
        let (mut stdout, mut stderr) = (Captured::default(), Captured::default());
        let answer = {
            let talking = async {
                tokio::join!(
                    feed(self.input, input),
                    stdout.fill_from(self.output),
                    stderr.fill_from(self.errors)
                );
            };
            let ending = read_answer(connection);
            tokio::pin!(talking, ending);
            tokio::select! {
                answer = &mut ending => {
                    // What it started in the background may keep its streams open for ever.
                    drop(tokio::time::timeout(GRACE, talking).await);
                    answer?
                }
                () = &mut talking => ending.await?,
            }
        };
        Ok(match answer {
            RunAnswer::Failed(why) => Err(why),
            RunAnswer::Exited(exit_code) => Ok(RunOutput {
                exit_code,
                truncated: stdout.truncated || stderr.truncated,
                stdout: stdout.bytes,
                stderr: stderr.bytes,
            }),
        })
    }
}

async fn feed(mut to: pipe::Sender, input: &[u8]) {
    // A command need not read what it is given.
    drop(to.write_all(input).await);
}

async fn read_answer(connection: UnixStream) -> io::Result<RunAnswer> {
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).await?;
    if line.is_empty() {
        return Err(io::Error::other("the instance has ended"));
    }
    Ok(serde_json::from_str(&line)?)
}

#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Captured {
    /// Reads to the end, and keeps as much as is allowed.
    async fn fill_from(&mut self, mut from: pipe::Receiver) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let space = LONGEST_OUTPUT - self.bytes.len();
            self.truncated |= length > space;
            self.bytes.extend_from_slice(buffer.get(..length.min(space)).unwrap_or_default());
        }
    }
}
