//! A program that runs beside this one, and ends with it.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::error::TaskError;
use crate::interruption::{self, Interruption};

/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// How long a program has that heard of a Ctrl-C at the terminal itself, before it is told.
const OWN_TIME: Duration = Duration::from_secs(2);

/// How long a program may take to end once it is told, before it is ended.
const GRACE: Duration = Duration::from_secs(5);

/// Ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// Whether it leads a process group, which is then ended as a whole.
    leads_group: bool,
}

impl Running {
    pub(super) fn alone(child: Child) -> Self {
        Self { child, leads_group: false }
    }

    pub(super) fn with_its_group(child: Child) -> Self {
        Self { child, leads_group: true }
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub(super) fn wait_unless_interrupted(
        &mut self,
        interruption: &Interruption,
    ) -> Result<ExitStatus, TaskError> {
        loop {
            if interruption.has_come() {
                self.ends_within(OWN_TIME);
                return Err(TaskError::Interrupted);
            }
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            interruption::pause(GLANCE);
        }
    }

    fn ends_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if self.ended().is_some() {
                return true;
            }
            interruption::pause(GLANCE);
        }
        false
    }

    fn signal(&self, signal: Signal) {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else {
            return;
        };
        // Nothing is left to do about one that is gone already.
        let _ = if self.leads_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
            self.ends_within(GRACE);
        }
        // Also when the leader is gone: what it started may be left. A group keeps its number while it has members.
        if self.leads_group || self.ended().is_none() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
