//! The result of a demo: what `--json` prints.

use std::path::PathBuf;

use rekindle_domain::{BackupId, BackupKind, ImageId, Outcome};
use serde::Serialize;

/// The one JSON object. Its fields are a contract.
#[derive(Debug, Serialize)]
pub struct DemoOutcome {
    /// `sqlite` or `postgres`.
    pub engine: &'static str,
    /// What the orders of production take, in bytes, as asked for.
    pub data_bytes: u64,
    /// The backups that were taken.
    pub backups: Vec<BackupOutcome>,
    /// The refreshes that they started.
    pub refreshes: Vec<RefreshOutcome>,
    /// The recovery.
    pub recovery: RecoveryOutcome,
    /// What restoring the same backups into an empty instance took, until the first answer.
    pub cold_restore_seconds: f64,
    /// What a look at processes, mounts, network interfaces and disk found afterwards.
    pub leftovers: Vec<String>,
    /// The page of the recovery's report.
    pub report: PathBuf,
}

/// A backup.
#[derive(Debug, Serialize)]
pub struct BackupOutcome {
    /// Its set.
    pub backup_id: BackupId,
    /// Full or incremental.
    pub kind: BackupKind,
    /// What is stored of it.
    pub bytes: u64,
}

/// A refresh.
#[derive(Debug, Serialize)]
pub struct RefreshOutcome {
    /// The set that it restored.
    pub backup_id: Option<BackupId>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it took.
    pub seconds: f64,
    /// The image that it registered.
    pub image_id: Option<ImageId>,
}

/// The recovery.
#[derive(Debug, Serialize)]
pub struct RecoveryOutcome {
    /// How it ended.
    pub outcome: Outcome,
    /// From the declaration to the first checked answer.
    pub rto_seconds: Option<f64>,
    /// From the recovery point to the declaration.
    pub rpo_seconds: Option<f64>,
    /// The replica's host name.
    pub hostname: String,
    /// The replica's address.
    pub ip_address: String,
    /// The SSH key that opens it.
    pub ssh_key_name: String,
    /// What production held at the recovery point.
    pub rows_expected: u64,
    /// What the replica holds.
    pub rows_found: u64,
    /// Whether every row is the same.
    pub content_matches: bool,
}

impl DemoOutcome {
    /// Whether everything held.
    pub fn held(&self) -> bool {
        self.problems().is_empty()
    }

    /// What did not hold, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for refresh in &self.refreshes {
            if refresh.outcome != Outcome::Refreshed {
                problems.push(format!("a refresh ended as {}", refresh.outcome));
            }
        }
        if self.refreshes.len() != self.backups.len() {
            problems.push(format!(
                "{} backups led to {} refreshes",
                self.backups.len(),
                self.refreshes.len()
            ));
        }
        if self.recovery.outcome != Outcome::Recovered {
            problems.push(format!("the recovery ended as {}", self.recovery.outcome));
        }
        if !self.recovery.content_matches {
            problems.push("the replica's rows are not those of production at the recovery point".to_owned());
        }
        if self.recovery.ssh_key_name.is_empty() {
            problems.push("the SSH key is not installed in the replica".to_owned());
        }
        problems.extend(self.leftovers.iter().map(|leftover| format!("something is left: {leftover}")));
        problems
    }
}
