//! What a verification found. A list of facts, from which "passed" follows; nothing in it is business data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a check proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CheckKind {
    /// Signatures, sizes and digests of what was transferred.
    Transport,
    /// The engine stands at the position of the set.
    Position,
    /// The heartbeat row is the one of this backup.
    Heartbeat,
    /// A probe gives the value that it gave when the backup was taken.
    Probe,
    /// The engine's own check of its files.
    Structure,
    /// The application answers.
    Application,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What it proves.
    pub kind: CheckKind,
    /// Its name in the recipe.
    pub name: String,
    /// The data store that it is about; none for the machine as a whole.
    pub data_store: Option<String>,
    /// Whether it held.
    pub passed: bool,
    /// One sentence without business data.
    pub explanation: String,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The facts.
    pub checks: Vec<Check>,
    /// The recovery point that the restored data really has, read back from its heartbeat.
    pub recovery_point: Option<Timestamp>,
    /// When the verification ended, on the instance's clock.
    pub verified_at: Timestamp,
}

/// Without these a restore is not proven: "it is up and checksums are fine" passes on yesterday's data.
pub const MINIMUM_PROOF: [CheckKind; 3] = [CheckKind::Position, CheckKind::Heartbeat, CheckKind::Probe];

impl Verdict {
    /// Every check held, the minimum proof is among them, and the recovery point was read back.
    pub fn passed(&self) -> bool {
        self.recovery_point.is_some() && self.failures().next().is_none() && self.missing().is_empty()
    }

    /// The checks that did not hold.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed)
    }

    /// Kinds of the minimum proof for which no check was made.
    pub fn missing(&self) -> Vec<CheckKind> {
        let made = |kind: &CheckKind| self.checks.iter().any(|check| check.kind == *kind);
        MINIMUM_PROOF.into_iter().filter(|kind| !made(kind)).collect()
    }

    /// One sentence: what was proven, or the first thing that was not.
    pub fn sentence(&self) -> String {
        if let Some(failure) = self.failures().next() {
            return format!("the check {:?} did not hold: {}", failure.name, failure.explanation);
        }
        if let Some(kind) = self.missing().first() {
            return format!("no check of kind {kind:?} was made, so the restore is not proven");
        }
        if self.recovery_point.is_none() {
            return "the heartbeat was not read back, so the recovery point is not known".to_owned();
        }
        format!("{} checks held", self.checks.len())
    }
}
