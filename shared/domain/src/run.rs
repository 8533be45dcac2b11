//! A run: one execution of a flow, and the protocol by which it is closed.
//!
//! ```text
//! Open ──close──► Closed ──two empty finds──► Ended
//! ```
//! A run that is Open may write intents and register an image. `destroy` closes it by a conditional write, so that
//! nothing new can begin; it is Ended only when the provider was twice found to hold nothing of it, the second time
//! no sooner than the provider's settling time after the last intent and after the first empty find.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::{Fence, ImageId, InstanceId, MachineKey, PlanId, RunId};
use crate::outcome::Outcome;

/// Which state machine a run executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// `statemachines/refresh-image.asl.json`.
    RefreshImage,
    /// `statemachines/recover.asl.json`.
    Recover,
}

impl Flow {
    /// The state machine's name: its file without `.asl.json`.
    pub fn state_machine(self) -> &'static str {
        match self {
            Self::RefreshImage => "refresh-image",
            Self::Recover => "recover",
        }
    }
}

/// How far a run has been closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RunState {
    /// It may make resources and register.
    Open,
    /// It may not; what it made is being destroyed, or is kept as replicas of an open recovery.
    Closed,
    /// It has left nothing but a registered image.
    Ended,
}

/// A run, as the register keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its id, and the name of its execution.
    pub run_id: RunId,
    /// What it executes.
    pub flow: Flow,
    /// The machine that a refresh works for; none for recoveries.
    pub machine: Option<MachineKey>,
    /// The lease's fence, for a refresh that holds one.
    pub fence: Option<Fence>,
    /// The machine's `wanted` counter as this run saw it when it took the lease.
    pub wanted_seen: Option<u64>,
    /// The plan of a recovery.
    pub plan_id: Option<PlanId>,
    /// How far it has been closed.
    pub state: RunState,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// After this instant the sweep stops the execution and closes the run.
    pub deadline: Timestamp,
    /// When its latest intent was written.
    pub last_intent_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// When the provider was first found to hold nothing of it, after it was closed.
    pub first_empty_at: Option<Timestamp>,
    /// How it ended; none while it runs.
    pub outcome: Option<Outcome>,
    /// One sentence: why it ended so.
    pub cause: Option<String>,
    /// Whether its report was written.
    pub reported: bool,
    /// Grows with each write; a write names the version that it replaces.
    pub version: u64,
}

impl Run {
    /// A run that begins now and has done nothing yet.
    pub fn open(
        run_id: RunId,
        flow: Flow,
        machine: Option<MachineKey>,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            run_id,
            flow,
            machine,
            fence: None,
            wanted_seen: None,
            plan_id: None,
            state: RunState::Open,
            opened_at: now,
            deadline,
            last_intent_at: None,
            closed_at: None,
            first_empty_at: None,
            outcome: None,
            cause: None,
            reported: false,
            version: 0,
        }
    }
}

/// What a run is about to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IntentKind {
    /// A builder or replica.
    Instance,
    /// An image.
    Image,
}

/// Written before the act, so that whatever happens afterwards somebody knows what to look for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Whose it is.
    pub run_id: RunId,
    /// Unique within the run: the client token of an instance, the name of an image.
    pub name: String,
    /// What is about to be made.
    pub kind: IntentKind,
    /// For which machine.
    pub machine: MachineKey,
    /// When it was written.
    pub at: Timestamp,
    /// The instance, once the provider has named it.
    pub instance_id: Option<InstanceId>,
    /// The image, once the provider has named it.
    pub image_id: Option<ImageId>,
}
