//! The nouns of Rekindle, without any input or output.
//!
//! Read `identity` first: who is protected, and what a run, a backup set and an image are called.
//! Every other module is one noun of `docs/ARCHITECTURE.md`.

pub mod backup_set;
pub mod configuration;
pub mod human_task;
pub mod identity;
pub mod image;
pub mod job;
pub mod object_key;
pub mod outcome;
pub mod plan;
pub mod quantity;
pub mod register_epoch;
pub mod report;
pub mod run;
pub mod service;
pub mod verdict;

pub use backup_set::{BackupKind, BackupSet, BackupSetError, DataStoreBackup, SetObject, SetPosition};
pub use configuration::{ConfigurationDocument, ConfigurationFile, RevisionId};
pub use human_task::{Decision, HumanTask, HumanTaskId, HumanTaskStatus};
pub use identity::{
    BackupId, CustomerId, Digest, Fence, IdentityError, ImageId, InstanceId, MachineId, MachineKey, PlanId,
    RunId, ServiceId, ServiceKey,
};
pub use image::{Image, ImageVerdict, Lineage};
pub use job::{Job, JobId, JobOutcome, JobStatus, JobWork};
pub use object_key::{ObjectKey, ObjectKeyError};
pub use outcome::Outcome;
pub use plan::{ApprovalPolicy, MachineRecovery, RecoveryKind, RecoveryPlan, RefreshPlan, TargetImage, Wave};
pub use quantity::{Bytes, Seconds};
pub use register_epoch::{
    EpochWitness, ImageManifest, QuarantinedImage, Rebuild, RebuildFindings, RebuildMode, RebuildState,
    RegisterEpoch,
};
pub use report::Report;
pub use run::{Flow, Intent, IntentKind, Run, RunState};
pub use service::{Machine, Objectives, Service};
pub use verdict::{Check, CheckKind, Verdict};
