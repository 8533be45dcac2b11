//! The port to whatever runs the state machines: Step Functions, or the embedded runner.
//! The operations are named as in the AWS Step Functions API reference.

use async_trait::async_trait;
use serde_json::Value;

/// How an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionState {
    /// It is at work.
    Running,
    /// It ended, well or not, or was stopped.
    Terminal,
    /// Nobody knows it: it was never started, or its history is gone.
    Unknown,
}

/// Why an execution could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An execution of this name exists with another input, or has ended.
    #[error("an execution named {0} exists already")]
    AlreadyExists(String),
    /// Anything else; trying again may help.
    #[error("the execution could not be started: {0}")]
    Unavailable(String),
}

/// Why a task token was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The task has ended, timed out, or was entered again with a newer token.
    #[error("the task no longer waits for this answer")]
    Gone,
    /// Anything else; trying again may help.
    #[error("the answer could not be delivered: {0}")]
    Unavailable(String),
}

/// Starts, watches and answers executions.
#[async_trait]
pub trait Workflow: Send + Sync {
    /// Starts an execution. A running one with the same name and input is success.
    async fn start_execution(&self, state_machine: &str, name: &str, input: Value) -> Result<(), StartError>;

    /// How an execution stands.
    async fn describe_execution(&self, state_machine: &str, name: &str)
    -> Result<ExecutionState, StartError>;

    /// Stops an execution; one that has ended stays as it is.
    async fn stop_execution(&self, state_machine: &str, name: &str, cause: &str) -> Result<(), StartError>;

    /// Completes a task that waits for its token.
    async fn send_task_success(&self, token: &str, output: Value) -> Result<(), CallbackError>;

    /// Fails a task that waits for its token.
    async fn send_task_failure(&self, token: &str, error: &str, cause: &str) -> Result<(), CallbackError>;

    /// Says that the work behind a token goes on.
    async fn send_task_heartbeat(&self, token: &str) -> Result<(), CallbackError>;
}
