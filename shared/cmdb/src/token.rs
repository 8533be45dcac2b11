//! Task tokens: whoever holds one can answer for a step.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The secret by which a waiting task is answered. Stays on the orchestrator's side, and never shows in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskToken(String);

impl TaskToken {
    /// The token itself, for the one who answers the task.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for TaskToken {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl From<&str> for TaskToken {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TaskToken(withheld)")
    }
}
