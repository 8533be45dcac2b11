//! What a finished job means to the state that waits for it.

use rekindle_domain::Verdict;
use rekindle_domain::job::{JobOutcome, JobResult};
use serde_json::Value;

use crate::error::ErrorName;
use crate::workflow::{CallbackError, Workflow};

/// What the waiting state is told.
#[derive(Debug, Clone, PartialEq)]
pub enum JobAnswer {
    /// SendTaskSuccess with this output.
    Success(Value),
    /// SendTaskFailure with this name and cause.
    Failure {
        /// A name of the contract.
        error: String,
        /// One sentence.
        cause: String,
    },
}

impl JobAnswer {
    /// A verdict that did not pass is a failure of the state, under a name of its own; whether it passed is decided
    /// here and never by the agent.
    pub fn to(outcome: &JobOutcome) -> Self {
        match outcome {
            JobOutcome::Failed { error, cause } => {
                Self::Failure { error: known(error).as_str().to_owned(), cause: cause.clone() }
            }
            JobOutcome::Succeeded { result: JobResult::Verified { verdict } } if !verdict.passed() => {
                Self::refused(ErrorName::VerificationFailed, verdict)
            }
            JobOutcome::Succeeded { result: JobResult::ReplicaChecked { verdict } } if !verdict.passed() => {
                Self::refused(ErrorName::ReplicaCheckFailed, verdict)
            }
            JobOutcome::Succeeded { result } => match serde_json::to_value(result) {
                Ok(output) => Self::Success(output),
                Err(error) => Self::Failure {
                    error: ErrorName::AgentFailed.as_str().to_owned(),
                    cause: format!("the agent's result cannot be written: {error}"),
                },
            },
        }
    }

    fn refused(name: ErrorName, verdict: &Verdict) -> Self {
        Self::Failure { error: name.as_str().to_owned(), cause: verdict.sentence() }
    }

    /// Tells the waiting state.
    ///
    /// # Errors
    /// [`CallbackError::Gone`] when nobody waits for this answer any more, which is harmless: it is stored.
    pub async fn deliver(self, workflow: &dyn Workflow, token: &str) -> Result<(), CallbackError> {
        match self {
            Self::Success(output) => workflow.send_task_success(token, output).await,
            Self::Failure { error, cause } => workflow.send_task_failure(token, &error, &cause).await,
        }
    }
}

/// A name that the contract knows; what an agent of another version sends besides is `Agent.Failed`.
fn known(error: &str) -> ErrorName {
    ErrorName::parse(error).unwrap_or(ErrorName::AgentFailed)
}
