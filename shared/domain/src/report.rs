//! What is told after every refresh and every recovery, whether it went well or not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup_set::BackupKind;
use crate::human_task::Decision;
use crate::identity::{BackupId, CustomerId, ImageId, InstanceId, MachineKey, PlanId, RunId, ServiceKey};
use crate::outcome::Outcome;
use crate::plan::RecoveryKind;
use crate::quantity::{Bytes, Seconds};
use crate::run::Flow;
use crate::verdict::Verdict;

/// The version of the report format.
pub const SCHEMA_VERSION: u32 = 1;

/// A report. Times are in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run that is reported on.
    pub run_id: RunId,
    /// What kind of run.
    pub flow: Flow,
    /// Who is told; none for a run whose input named no known customer.
    pub customer_id: Option<CustomerId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended so, and what to do next, in one or two sentences.
    pub cause: String,
    /// When the run was opened.
    pub started_at: Timestamp,
    /// When the report was written.
    pub finished_at: Timestamp,
    /// What a refresh did.
    pub refresh: Option<RefreshFacts>,
    /// What a recovery did.
    pub recovery: Option<RecoveryFacts>,
    /// The steps, in the order in which they began.
    pub steps: Vec<StepRecord>,
    /// What was made, and what became of it.
    pub resources: Vec<ResourceRecord>,
}

/// The part of a report that is about a refresh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshFacts {
    /// Whose image.
    pub machine: MachineKey,
    /// The set that was restored last.
    pub backup_id: Option<BackupId>,
    /// Full or incremental.
    pub backup_kind: Option<BackupKind>,
    /// Where that set is stored: its prefix in the buckets.
    pub backup_place: Option<String>,
    /// Its stored size.
    pub backup_bytes: Option<Bytes>,
    /// The image that the builder started from.
    pub parent_image_id: Option<ImageId>,
    /// The image that was registered.
    pub image_id: Option<ImageId>,
    /// Everything committed before this instant is in the image.
    pub recovery_point: Option<Timestamp>,
    /// What the verification found.
    pub verdict: Option<Verdict>,
}

/// The part of a report that is about a recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryFacts {
    /// Disaster or rehearsal.
    pub kind: RecoveryKind,
    /// Digest of the plan that was carried out; none when none could be made.
    pub plan_id: Option<PlanId>,
    /// Who declared it.
    pub requested_by: String,
    /// In their own words.
    pub reason: String,
    /// When.
    pub declared_at: Timestamp,
    /// Who approved, or what policy did.
    pub decision: Option<Decision>,
    /// What was predicted.
    pub predicted_recovery_time: Option<Seconds>,
    /// One entry for each service that was to be recovered.
    pub services: Vec<ServiceFacts>,
}

/// Objective against measured, for one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceFacts {
    /// Which service.
    pub service: ServiceKey,
    /// How soon it should have served.
    pub recovery_time_objective: Option<Seconds>,
    /// How soon it served, from the declaration to the first checked answer; none when it does not serve.
    pub recovery_time: Option<Seconds>,
    /// How much data may be lost.
    pub recovery_point_objective: Option<Seconds>,
    /// How much was: from the recovery point of the oldest machine to the declaration.
    pub recovery_point: Option<Seconds>,
    /// Its replicas.
    pub replicas: Vec<ReplicaFacts>,
    /// Why it does not serve.
    pub cause: Option<String>,
}

/// A replica that was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaFacts {
    /// Whose replica.
    pub machine: MachineKey,
    /// The instance.
    pub instance_id: InstanceId,
    /// The image that it was started from.
    pub image_id: ImageId,
    /// Whether that was an older image than planned, because the planned one did not boot.
    pub fell_back: bool,
    /// Its host name.
    pub hostname: String,
    /// Its address.
    pub ip_address: String,
    /// The name of the SSH key that opens it.
    pub ssh_key_name: String,
    /// Everything committed before this instant is on it.
    pub recovery_point: Timestamp,
    /// What asking the application found.
    pub verdict: Option<Verdict>,
    /// When it first answered correctly.
    pub serving_since: Option<Timestamp>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// The state of the state machine, or the work of the agent.
    pub name: String,
    /// The machine, where the step is about one.
    pub machine: Option<MachineKey>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none for one that never did.
    pub finished_at: Option<Timestamp>,
    /// The stable name of the error it ended with.
    pub error: Option<String>,
    /// One sentence about it.
    pub detail: Option<String>,
}

/// Something that a run made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceRecord {
    /// `instance` or `image`.
    pub kind: String,
    /// The provider's id, or the intent's name where the provider never named it.
    pub id: String,
    /// `destroyed`, `registered`, `kept` or `left-for-sweep`.
    pub fate: String,
}
