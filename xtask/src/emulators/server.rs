//! One emulator: started, waited for, and looked after.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::run_folder::RunFolder;
use crate::error::TaskError;
use crate::http;
use crate::interruption::{self, Interruption};
use crate::process::{Program, Running};

/// A loaded machine takes five seconds; the first start also compiles a thousand Python modules.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many lines of a log an error repeats.
const LAST_LINES: usize = 15;

/// A running emulator.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    running: Running,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts it; it does not answer yet.
    pub(super) fn start(
        name: &'static str,
        program: Program,
        port: u16,
        folder: &RunFolder,
    ) -> Result<Self, TaskError> {
        let log = folder.path().join(format!("{name}.log"));
        let file = File::create(&log).map_err(|cause| TaskError::file(&log, cause))?;
        Ok(Self { name, running: program.start_as_server(&file)?, port, log })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it says that it is well.
    pub(super) fn wait_until_it_answers(
        &mut self,
        path: &str,
        interruption: &Interruption,
    ) -> Result<(), TaskError> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            interruption.check()?;
            self.check()?;
            if http::status(self.port, path).is_ok_and(|status| status == 200) {
                return Ok(());
            }
            interruption::pause(Duration::from_millis(100));
        }
        Err(self.failed(&format!("does not answer after {} s", PATIENCE.as_secs())))
    }

    /// An error when it has ended.
    pub(super) fn check(&mut self) -> Result<(), TaskError> {
        match self.running.ended() {
            Some(status) => Err(self.failed(&format!("ended by itself ({status})"))),
            None => Ok(()),
        }
    }

    fn failed(&self, what: &str) -> TaskError {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        TaskError::Missing(format!(
            "the emulator {} {what}; the end of {}:\n{last}",
            self.name,
            self.log.display()
        ))
    }
}
