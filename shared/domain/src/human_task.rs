//! Something that only a person can do or decide, with the states of WS-HumanTask 1.1 section 4.10.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::{Digest, RunId};

/// A human task's name: derived from the run and the question, so that asking twice asks once.
pub type HumanTaskId = Digest;

/// WS-HumanTask states that are in use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HumanTaskStatus {
    /// Nobody has taken it.
    Ready,
    /// Somebody decided.
    Completed,
    /// Its deadline passed, or its run ended.
    Exited,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Yes or no.
    pub approved: bool,
    /// Who decided: a person's name, or `policy:<name>` where approval was given beforehand.
    pub decided_by: String,
    /// When.
    pub decided_at: Timestamp,
    /// In their own words.
    pub comment: Option<String>,
}

/// A question to a person, bound to what exactly is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HumanTask {
    /// Its name.
    pub human_task_id: HumanTaskId,
    /// The run that waits.
    pub run_id: RunId,
    /// What is asked, in one sentence.
    pub question: String,
    /// Digest of the plan that is decided on, where there is one.
    pub subject: Option<Digest>,
    /// Who asked, and therefore cannot decide.
    pub requested_by: String,
    /// Its state.
    pub status: HumanTaskStatus,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Silence until then means no.
    pub deadline: Timestamp,
    /// The decision, once Completed.
    pub decision: Option<Decision>,
}
