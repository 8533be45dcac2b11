//! Commands that the owner runs inside, where the owner opened the cloud with a console.

use std::fs::File;
use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, WaitStatus, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::init::program::{inside, spawn};

/// What the owner asks for. Three descriptors come with it: standard input, output and error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRequest {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
}

/// What the owner hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RunAnswer {
    /// It ended with this code; 128 and the signal's number when it was killed.
    Exited(i32),
    /// It could not be started.
    Failed(String),
}

/// How long a request may be.
pub(crate) const LONGEST_REQUEST: usize = 128 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes requests and remembers who waits for which process.
pub(crate) struct Console {
    listener: UnixListener,
    runs: Vec<Run>,
}

struct Run {
    process: Pid,
    client: UnixStream,
}

impl Console {
    /// Over a listener that the owner can reach.
    pub(crate) fn new(listener: UnixListener) -> Self {
        Self { listener, runs: Vec::new() }
    }

    /// What to wait on: new clients, and clients that go away.
    pub(crate) fn watched(&self) -> impl Iterator<Item = PollFd<'_>> {
        let clients = self.runs.iter().map(|run| PollFd::new(&run.client, PollFlags::empty()));
        std::iter::once(PollFd::new(&self.listener, PollFlags::IN)).chain(clients)
    }

    /// Acts on what has happened; in the order of [`Console::watched`].
    pub(crate) fn attend(&mut self, happened: &[PollFlags]) {
        let Some((new_client, clients)) = happened.split_first() else { return };
        for (run, _) in self.runs.iter().zip(clients).filter(|(_, flags)| !flags.is_empty()) {
            // Nobody waits for it any more. Its end is seen like any other.
            let _ = kill_process_group(run.process, Signal::KILL);
        }
        if !new_client.is_empty() {
            // A client that cannot be served sees its connection end.
            drop(self.accept());
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let (client, _) = self.listener.accept()?;
        client.set_read_timeout(Some(PATIENCE))?;
        let started = receive(&client).and_then(|(request, streams)| start(&request, streams));
        match started {
            Ok(process) => self.runs.push(Run { process, client }),
            Err(error) => answer(&client, &RunAnswer::Failed(error.to_string())),
        }
        Ok(())
    }

    /// A process has ended; if somebody waits for it, they hear of it.
    pub(crate) fn ended(&mut self, process: Pid, status: WaitStatus) {
        if let Some(position) = self.runs.iter().position(|run| run.process == process) {
            let run = self.runs.swap_remove(position);
            answer(&run.client, &RunAnswer::Exited(exit_code(status)));
        }
    }
}

/// As shells have it.
pub(crate) fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn start(request: &RunRequest, [input, output, errors]: [OwnedFd; 3]) -> io::Result<Pid> {
    let mut command = inside(&request.command);
    command.stdin(File::from(input)).stdout(File::from(output)).stderr(File::from(errors));
    spawn(command)
}

fn receive(client: &UnixStream) -> io::Result<(RunRequest, [OwnedFd; 3])> {
    let mut text = Vec::new();
    let mut descriptors = Vec::new();
    while text.last() != Some(&b'\n') {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = vec![0; 16 * 1024];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(client, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        if received.bytes == 0 || text.len() > LONGEST_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        text.extend_from_slice(buffer.get(..received.bytes).unwrap_or_default());
    }
    let descriptors = descriptors.try_into().map_err(|_: Vec<OwnedFd>| io::ErrorKind::InvalidData)?;
    Ok((serde_json::from_slice(&text)?, descriptors))
}

fn answer(mut client: &UnixStream, answer: &RunAnswer) {
    if let Ok(mut text) = serde_json::to_string(answer) {
        text.push('\n');
        // A client that has gone needs no answer.
        drop(client.write_all(text.as_bytes()));
    }
}
