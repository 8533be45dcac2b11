//! What the register keeps beyond the nouns of `rekindle-domain`, and how it answers.

use jiff::Timestamp;
use rekindle_domain::{
    BackupId, BackupSet, Fence, ImageId, InstanceId, Job, JobOutcome, JobStatus, MachineKey, Run, RunId,
    SetPosition,
};
use serde::{Deserialize, Serialize};

pub use rekindle_domain::job::Hello;

use crate::token::TaskToken;

/// Whether a write that is made once was made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// By this call.
    New,
    /// By an earlier one; nothing was changed.
    Known,
}

/// A value with the version that a later write has to name.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Grows by one with each write.
    pub version: u64,
}

/// A backup set and what was decided about it.
#[derive(Debug, Clone, PartialEq)]
pub struct SetRecord {
    /// Its description.
    pub set: BackupSet,
    /// What was decided.
    pub status: SetStatus,
    /// When it was first recorded.
    pub recorded_at: Timestamp,
}

/// What was decided about a backup set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", deny_unknown_fields)]
pub enum SetStatus {
    /// It may be restored.
    Accepted,
    /// It is never restored.
    Refused {
        /// One sentence: why.
        cause: String,
    },
}

/// A description that could not be read, so that there is no set to record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedDescription {
    /// The machine under whose prefix it lies.
    pub machine: MachineKey,
    /// The backup under whose name it lies.
    pub backup_id: BackupId,
    /// A stable name from `rekindle-step`'s contract.
    pub error: String,
    /// One sentence: why.
    pub cause: String,
    /// When it was refused.
    pub at: Timestamp,
}

/// The right to refresh one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Who has it.
    pub run_id: RunId,
    /// Grew by one when it was taken.
    pub fence: Fence,
    /// When it was taken.
    pub taken_at: Timestamp,
}

/// The newest registered image of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewestImage {
    /// The image.
    pub image_id: ImageId,
    /// The place of its newest set in the machine's history.
    pub position: SetPosition,
    /// The publication counter of its configuration.
    pub configuration_counter: u64,
}

impl NewestImage {
    /// Order within a machine's register, as `Image::order`.
    pub fn order(&self) -> (SetPosition, u64) {
        (self.position, self.configuration_counter)
    }
}

/// The newest failure of a machine's refreshes. It stays until the next one: compare its time with the newest image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedVerdict {
    /// The run that failed.
    pub run_id: RunId,
    /// The stable name of the error.
    pub error: String,
    /// One sentence: why.
    pub cause: String,
    /// When.
    pub at: Timestamp,
}

/// The one item that all runs of a machine contend for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineState {
    /// How often somebody asked for a refresh.
    pub wanted: u64,
    /// The fence of the newest lease, whether or not it is still held.
    pub fence: Fence,
    /// Who refreshes the machine now.
    pub lease: Option<Lease>,
    /// The newest registered image.
    pub newest: Option<NewestImage>,
    /// The newest failure.
    pub newest_failure: Option<FailedVerdict>,
}

/// A lease and the run that holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The lease.
    pub lease: Lease,
    /// The run as the register keeps it: Open, with the lease's fence and the `wanted` counter that it has seen.
    pub run: Run,
}

/// What became of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "released", deny_unknown_fields)]
pub enum Released {
    /// Nobody holds it now.
    Released,
    /// Work had arrived meanwhile: the successor holds it and is recorded as Open. Start its execution.
    HandedOver {
        /// The run that has the lease now.
        successor: RunId,
        /// The machine.
        machine: MachineKey,
    },
    /// This run did not hold one.
    NotHeld,
}

/// What the provider named after an intent was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentResource {
    /// A builder or replica.
    Instance(InstanceId),
    /// An image.
    Image(ImageId),
}

/// How often one piece of work failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attempts {
    /// Failed runs.
    pub count: u32,
    /// The last of them.
    pub last_run: Option<RunId>,
    /// The stable name of its error.
    pub error: Option<String>,
    /// One sentence: why.
    pub cause: Option<String>,
    /// When it failed.
    pub last_at: Option<Timestamp>,
    /// Not to be tried before.
    pub next_try_at: Option<Timestamp>,
}

/// What an instance is for. An instance without a binding is nobody to the agent API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceBinding {
    /// The instance.
    pub instance_id: InstanceId,
    /// The run that made it.
    pub run_id: RunId,
    /// The machine that it is an instance of.
    pub machine: MachineKey,
    /// `builder` or `replica`.
    pub purpose: String,
    /// The image that it was started from.
    pub image_id: ImageId,
    /// When it was bound.
    pub bound_at: Timestamp,
}

/// What an agent said of itself, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloRecord {
    /// What it said.
    pub hello: Hello,
    /// When it last said it.
    pub at: Timestamp,
}

/// A job to be posted.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// The job.
    pub job: Job,
    /// The instance whose agent is to do it.
    pub instance_id: InstanceId,
    /// By which the waiting step is answered.
    pub token: TaskToken,
    /// When it is posted.
    pub now: Timestamp,
}

/// How far an agent says that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// Of how much, where that is known.
    pub total: Option<u64>,
    /// In what, for example `bytes`.
    pub unit: String,
}

/// A job as the register keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRecord {
    /// The job.
    pub job: Job,
    /// The instance whose agent does it.
    pub instance_id: InstanceId,
    /// By which the waiting step is answered: the newest one; none when it is known that nobody waits.
    pub token: Option<TaskToken>,
    /// How far it is.
    pub status: JobStatus,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// When an agent first took it.
    pub taken_at: Option<Timestamp>,
    /// When its agent last said that it goes on.
    pub last_heartbeat_at: Option<Timestamp>,
    /// How far the agent says that it is.
    pub progress: Option<Progress>,
    /// When its outcome was stored.
    pub finished_at: Option<Timestamp>,
    /// How it ended. Once stored it never changes.
    pub outcome: Option<JobOutcome>,
}
