//! The programs that the built-in recipes call: the agent itself, under other commands.
//!
//! A helper writes its answer to standard output, what happens to standard error, and when it fails it ends with one
//! line for reports, which holds no business data.

pub mod postgres;
pub mod sqlite;

use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;
use rekindle_domain::backup_set::Heartbeat;
use rekindle_step::StepError;
use serde::{Deserialize, Serialize};

use crate::configuration::Probe;
use crate::error::{failed, system};
use crate::files::{read_json, write_json};

/// What a backup program tells the agent about the copy that it streamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupReport {
    /// The engine's position after this set.
    pub position: String,
    /// The position that an increment continues from.
    pub from_position: Option<String>,
    /// The engine's version.
    pub engine_version: String,
    /// The heartbeat row that is in the copy.
    pub heartbeat: Heartbeat,
    /// What the probes answered, asked of the copy itself.
    pub answers: Vec<(Probe, String)>,
}

/// Where a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CheckPhase {
    /// In a builder: nobody else uses the data, and not a byte of it may change.
    Verify,
    /// Beside the running service.
    Serving,
}

pub(crate) fn read_probes(path: &Path) -> Result<Vec<Probe>, StepError> {
    read_json(path)?.ok_or_else(|| failed(format!("there are no probes at {}", path.display())))
}

pub(crate) fn write_report(path: &Path, report: &BackupReport) -> Result<(), StepError> {
    write_json(path, report)
}

/// This instant as both engines can store it.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

pub(crate) fn answer(text: &str) -> Result<(), StepError> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}")
        .and_then(|()| output.flush())
        .map_err(|error| system("writing the answer failed", error))
}

pub(crate) fn answer_json<T: Serialize>(value: &T) -> Result<(), StepError> {
    let text =
        serde_json::to_string(value).map_err(|error| failed("writing the answer failed").because(error))?;
    answer(&text)
}

/// One cell of a canonical answer: what separates cells and rows is escaped.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_being_stored_in_microseconds() {
        let at = now();
        assert_eq!(Timestamp::from_microsecond(at.as_microsecond()).ok(), Some(at));
        assert_eq!(at.to_string().parse::<Timestamp>().ok(), Some(at));
    }

    #[test]
    fn cells_cannot_run_into_each_other() {
        assert_ne!([escaped("a\tb"), escaped("c")].join("\t"), [escaped("a"), escaped("b\tc")].join("\t"));
    }
}
