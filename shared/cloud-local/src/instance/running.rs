//! The processes of an instance, as the owner holds them.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::Shutdown as How;

use crate::control::Helper;
use crate::init::process::ProcessHold;

const PATIENCE: Duration = Duration::from_secs(10);

/// Supervisor and first process, and the agent API's listener.
#[derive(Debug)]
pub(crate) struct Running {
    helper: Helper,
    first: Option<ProcessHold>,
    agent_api: OwnedFd,
}

impl Running {
    /// From a helper that has said that the instance has started.
    pub(crate) fn new(helper: Helper, first: Option<ProcessHold>, agent_api: OwnedFd) -> Self {
        Self { helper, first, agent_api }
    }

    /// Whether nothing of it is left. What is left of it without its supervisor is ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        let gone = !matches!(self.helper.child.try_wait(), Ok(None));
        if gone {
            self.end_first();
            self.close_agent_api();
        }
        gone
    }

    /// Lets the main program end by itself, and the instance power off.
    pub(crate) fn ask_to_stop(&mut self) -> std::io::Result<()> {
        self.helper.lifeline.write_all(b"stop\n")
    }

    /// Ends it at once, without waiting.
    pub(crate) fn kill(&self) {
        if let Some(first) = &self.first {
            first.kill();
        }
    }

    /// Ends it at once, and waits until nothing is left.
    pub(crate) fn end(&mut self) {
        self.end_first();
        // The supervisor ends when it has seen the end of the first process; without one, when the lifeline ends.
        drop(self.helper.lifeline.shutdown(Shutdown::Both));
        drop(self.helper.child.wait());
        self.close_agent_api();
    }

    fn end_first(&self) {
        if let Some(first) = &self.first {
            first.kill();
            if !first.wait(PATIENCE) {
                tracing::warn!("the processes of an instance were killed and are still there");
            }
        }
    }

    /// Whoever serves the agent API to this instance sees that accepting fails.
    fn close_agent_api(&self) {
        let _ = rustix::net::shutdown(&self.agent_api, How::Both);
    }
}
