//! Jobs: what an instance's agent is asked to do. Instances pull jobs; nobody pushes into them.
//!
//! The stored result of a job, keyed (run, machine, step), is the truth: a step that is entered again with a new task
//! token finds it and completes at once.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup_set::SetPosition;
use crate::configuration::RevisionId;
use crate::identity::{BackupId, InstanceId, MachineKey, RunId};
use crate::verdict::Verdict;

/// Which job: one step of one run on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobId {
    /// The run.
    pub run_id: RunId,
    /// The machine whose instance does it.
    pub machine: MachineKey,
    /// The step, for example `transfer-and-restore`; recoveries add the attempt (`recover-1`).
    pub step: String,
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of run {} on {}", self.step, self.run_id, self.machine)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum JobWork {
    /// Nothing but to start: complete when the agent first reports. Never handed out.
    Boot,
    /// Bring the configuration to this revision.
    UpdateConfiguration {
        /// The document, in the control bucket.
        revision: RevisionId,
    },
    /// Apply these sets, oldest first, onto what the instance holds.
    TransferAndRestore {
        /// The sets.
        sets: Vec<BackupId>,
        /// What the instance must already hold; none to start from nothing.
        applied: Option<SetPosition>,
    },
    /// Prove that the restored data is this set.
    Verify {
        /// The last applied set.
        backup_id: BackupId,
    },
    /// Stop the engines cleanly, wipe keys, power off.
    Seal,
    /// Start the engines and programs for serving.
    Activate,
    /// Ask the application.
    CheckReplica,
}

impl JobWork {
    /// The work's name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::UpdateConfiguration { .. } => "update-configuration",
            Self::TransferAndRestore { .. } => "transfer-and-restore",
            Self::Verify { .. } => "verify",
            Self::Seal => "seal",
            Self::Activate => "activate",
            Self::CheckReplica => "check-replica",
        }
    }
}

/// A job as an agent receives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Which job.
    pub id: JobId,
    /// What to do.
    pub work: JobWork,
    /// The agent gives up at this instant; the state machine's time-out is only a ceiling.
    pub deadline: Timestamp,
    /// How often the agent has to report that it is alive, in seconds.
    pub heartbeat_seconds: u32,
}

/// What an agent says of itself when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The instance's host name.
    pub hostname: String,
    /// The instance's address, as others reach it.
    pub ip_address: String,
    /// The agent's version.
    pub agent_version: String,
    /// What the instance's data holds; none for an instance from the base image.
    pub applied: Option<SetPosition>,
    /// The configuration inside.
    pub revision: Option<RevisionId>,
    /// Names of the SSH keys whose public half is installed.
    pub ssh_key_names: Vec<String>,
}

/// What a finished job brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum JobResult {
    /// The instance reported.
    Booted {
        /// Which instance.
        instance_id: InstanceId,
        /// What it said.
        hello: Hello,
    },
    /// The configuration is the wanted one.
    ConfigurationUpdated {
        /// The revision.
        revision: RevisionId,
        /// Files that had to be written; 0 when it was applied already.
        files_written: u32,
    },
    /// The sets are applied.
    Restored {
        /// What the data holds now.
        applied: SetPosition,
        /// Stored bytes that were fetched.
        fetched_bytes: u64,
        /// Decrypted, decompressed bytes that were handed to the engine.
        restored_bytes: u64,
    },
    /// The verification was made; whether it passed is in the verdict.
    Verified {
        /// The facts.
        verdict: Verdict,
    },
    /// Engines are stopped, keys are wiped, the instance powers off next.
    Sealed,
    /// The service was started.
    Activated {
        /// Its programs, each with its name.
        programs: Vec<String>,
    },
    /// The application was asked.
    ReplicaChecked {
        /// The facts.
        verdict: Verdict,
    },
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase", deny_unknown_fields)]
pub enum JobOutcome {
    /// It was done.
    Succeeded {
        /// What it brought.
        result: JobResult,
    },
    /// It was not done.
    Failed {
        /// A stable name from `rekindle-step`'s contract, for example `Agent.ObjectCorrupt`.
        error: String,
        /// One sentence with the cause and the next step, without business data.
        cause: String,
    },
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    /// Waiting for its instance's agent.
    Posted,
    /// An agent has it.
    Taken,
    /// Its outcome is stored.
    Finished,
}
