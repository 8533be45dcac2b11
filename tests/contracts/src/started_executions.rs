//! A workflow engine that writes down what is started, and at which nobody waits for an answer.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use rekindle_step::{CallbackError, ExecutionState, StartError, Workflow};
use serde_json::Value;

/// An execution that was started.
#[derive(Debug, Clone, PartialEq)]
pub struct StartedExecution {
    /// Of this state machine.
    pub state_machine: String,
    /// Under this name.
    pub name: String,
    /// With this input.
    pub input: Value,
}

/// The engine, for tests of those who start executions.
#[derive(Debug, Default)]
pub struct StartedExecutions(Mutex<Vec<StartedExecution>>);

impl StartedExecutions {
    /// What was started, in order.
    pub fn all(&self) -> Vec<StartedExecution> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Workflow for StartedExecutions {
    async fn start_execution(&self, machine: &str, name: &str, input: Value) -> Result<(), StartError> {
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if started.iter().any(|known| known.name == name) {
            return Err(StartError::AlreadyExists(name.to_owned()));
        }
        started.push(StartedExecution { state_machine: machine.to_owned(), name: name.to_owned(), input });
        Ok(())
    }

    async fn describe_execution(&self, _: &str, _: &str) -> Result<ExecutionState, StartError> {
        Ok(ExecutionState::Unknown)
    }

    async fn stop_execution(&self, _: &str, _: &str, _: &str) -> Result<(), StartError> {
        Ok(())
    }

    async fn send_task_success(&self, _: &str, _: Value) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }

    async fn send_task_failure(&self, _: &str, _: &str, _: &str) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }

    async fn send_task_heartbeat(&self, _: &str) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }
}
