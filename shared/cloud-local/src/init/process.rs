//! Processes that are told apart although ids are used again.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process, named by its id and by when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessName {
    id: Pid,
    started: u64,
}

impl ProcessName {
    /// The process that has this id now.
    pub(crate) fn of(id: Pid) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()))?;
        let started = start_time(&text).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { id, started })
    }

    /// As one line of a file.
    pub(crate) fn line(self) -> String {
        format!("{} {}\n", self.id.as_raw_nonzero(), self.started)
    }

    /// Reads what [`ProcessName::line`] wrote.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (id, started) = line.trim().split_once(' ')?;
        Some(Self { id: Pid::from_raw(id.parse().ok()?)?, started: started.parse().ok()? })
    }

    /// A hold on the process; nothing when it is gone and its id may be another's.
    pub(crate) fn hold(self) -> Option<ProcessHold> {
        let descriptor = pidfd_open(self.id, PidfdFlags::empty()).ok()?;
        // Looked at after the descriptor was made: from here on it can be no other process.
        (Self::of(self.id).ok()? == self).then_some(ProcessHold(descriptor))
    }
}

/// The 22nd field; the second may contain blanks and brackets.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// A descriptor of a process: it never means another one.
#[derive(Debug)]
pub(crate) struct ProcessHold(OwnedFd);

impl ProcessHold {
    /// Ends the process. One that has ended is fine.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }

    /// Waits until the process has ended; says whether it has. For the first process of a PID namespace this means
    /// that all processes in it have.
    pub(crate) fn wait(&self, patience: std::time::Duration) -> bool {
        let timeout = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
        matches!(poll(&mut watched, Some(&timeout)), Ok(count) if count > 0)
    }

    /// For waiting on it together with others.
    pub(crate) fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.0, PollFlags::IN)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_name_reads_back_and_holds_this_process() {
        let me = ProcessName::of(rustix::process::getpid()).unwrap();
        assert_eq!(ProcessName::parse(&me.line()), Some(me));
        assert!(me.hold().is_some());
        assert!(ProcessName { started: me.started + 1, ..me }.hold().is_none());
    }

    #[test]
    fn a_program_name_with_brackets_does_not_confuse() {
        let stat = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(start_time(stat), Some(4242));
    }
}
