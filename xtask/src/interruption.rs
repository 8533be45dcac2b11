//! Ctrl-C and its like: what was started has to be ended before this program is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::TaskError;

/// As README.md has it for whatever is interrupted.
pub(crate) const EXIT_CODE: i32 = 130;

/// Watches for signals that ask this program to end; when it is dropped, they end it as they always do.
#[derive(Debug)]
pub(crate) struct Interruption {
    has_come: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Interruption {
    /// Begins to watch. The first signal is noted; the second ends this program at once.
    pub(crate) fn watch() -> Result<Self, TaskError> {
        let this = Self { has_come: Arc::default(), is_over: Arc::default() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            this.watch_for(signal).map_err(|cause| {
                TaskError::Missing(format!("signal {signal} cannot be watched for: {cause}"))
            })?;
        }
        Ok(this)
    }

    /// What is registered first is carried out first.
    fn watch_for(&self, signal: i32) -> std::io::Result<()> {
        flag::register_conditional_default(signal, self.is_over.clone())?;
        flag::register_conditional_shutdown(signal, EXIT_CODE, self.has_come.clone())?;
        flag::register(signal, self.has_come.clone())?;
        Ok(())
    }

    /// Whether somebody asked for the end.
    pub(crate) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Relaxed)
    }

    /// An error once somebody asked for the end.
    pub(crate) fn check(&self) -> Result<(), TaskError> {
        if self.has_come() { Err(TaskError::Interrupted) } else { Ok(()) }
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Waits for a moment.
#[expect(
    clippy::disallowed_methods,
    reason = "this program has one thread, and waits for programs, not for tasks"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
