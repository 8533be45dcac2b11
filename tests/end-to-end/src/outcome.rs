//! What `rekindle demo --json` promises to print, written down a second time.

use std::path::PathBuf;

use rekindle_domain::{BackupId, BackupKind, ImageId, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The one JSON object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are documented where they are written")]
pub struct DemoOutcome {
    pub engine: String,
    pub data_bytes: u64,
    pub backups: Vec<BackupOutcome>,
    pub refreshes: Vec<RefreshOutcome>,
    pub recovery: RecoveryOutcome,
    pub cold_restore_seconds: f64,
    pub leftovers: Vec<String>,
    pub report: PathBuf,
}

/// A backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are documented where they are written")]
pub struct BackupOutcome {
    pub backup_id: BackupId,
    pub kind: BackupKind,
    pub bytes: u64,
}

/// A refresh.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are documented where they are written")]
pub struct RefreshOutcome {
    pub backup_id: Option<BackupId>,
    pub outcome: Outcome,
    pub seconds: f64,
    pub image_id: Option<ImageId>,
}

/// The recovery.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are documented where they are written")]
pub struct RecoveryOutcome {
    pub outcome: Outcome,
    pub rto_seconds: Option<f64>,
    pub rpo_seconds: Option<f64>,
    pub hostname: String,
    pub ip_address: String,
    pub ssh_key_name: String,
    pub rows_expected: u64,
    pub rows_found: u64,
    pub content_matches: bool,
}

impl DemoOutcome {
    /// Reads standard output.
    ///
    /// # Panics
    /// When it is anything but one line with one object of exactly these fields.
    pub fn read(standard_output: &str) -> Self {
        assert_eq!(standard_output.matches('\n').count(), 1, "not one line: {standard_output:?}");
        let object: Value = serde_json::from_str(standard_output).unwrap();
        let outcome: Self = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(&outcome).unwrap(), object, "a field is missing");
        outcome
    }
}
