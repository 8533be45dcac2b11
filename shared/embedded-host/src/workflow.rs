//! The runner as the steps see it.

use std::sync::OnceLock;

use async_trait::async_trait;
use rekindle_flow::{ExecutionStatus, Runner, WeakRunner};
use rekindle_step::{CallbackError, ExecutionState, StartError, Workflow};
use serde_json::Value;

/// The steps need the runner, and the runner needs the steps: it is attached once both are there, and the steps do not
/// keep it alive. Otherwise neither would ever end, nor the instances that belong to them.
#[derive(Default)]
pub struct RunnerWorkflow {
    runner: OnceLock<WeakRunner>,
}

impl RunnerWorkflow {
    /// Names the runner; the first one stays.
    pub fn attach(&self, runner: &Runner) {
        let _ = self.runner.set(runner.downgrade());
    }

    fn runner(&self) -> Result<Runner, StartError> {
        self.attached().ok_or_else(|| StartError::Unavailable("the runner does not run".to_owned()))
    }

    fn callbacks(&self) -> Result<Runner, CallbackError> {
        self.attached().ok_or_else(|| CallbackError::Unavailable("the runner does not run".to_owned()))
    }

    fn attached(&self) -> Option<Runner> {
        self.runner.get().and_then(WeakRunner::upgrade)
    }
}

fn start_error(error: rekindle_flow::StartError) -> StartError {
    match error {
        rekindle_flow::StartError::ExecutionAlreadyExists(name) => StartError::AlreadyExists(name),
        other => StartError::Unavailable(other.to_string()),
    }
}

fn callback_error(error: rekindle_flow::CallbackError) -> CallbackError {
    match error {
        rekindle_flow::CallbackError::TaskDoesNotExist | rekindle_flow::CallbackError::TaskTimedOut => {
            CallbackError::Gone
        }
        other => CallbackError::Unavailable(other.to_string()),
    }
}

#[async_trait]
impl Workflow for RunnerWorkflow {
    async fn start_execution(&self, state_machine: &str, name: &str, input: Value) -> Result<(), StartError> {
        self.runner()?.start_execution(state_machine, name, input).await.map(|_| ()).map_err(start_error)
    }

    async fn describe_execution(
        &self,
        state_machine: &str,
        name: &str,
    ) -> Result<ExecutionState, StartError> {
        Ok(match self.runner()?.describe_execution(state_machine, name) {
            None => ExecutionState::Unknown,
            Some(execution) if execution.status == ExecutionStatus::Running => ExecutionState::Running,
            Some(_) => ExecutionState::Terminal,
        })
    }

    async fn stop_execution(&self, state_machine: &str, name: &str, cause: &str) -> Result<(), StartError> {
        match self.runner()?.stop_execution(state_machine, name, "Rekindle.Stopped", cause).await {
            Ok(()) | Err(rekindle_flow::StopError::ExecutionDoesNotExist(_)) => Ok(()),
        }
    }

    async fn send_task_success(&self, token: &str, output: Value) -> Result<(), CallbackError> {
        self.callbacks()?.send_task_success(token, output).map_err(callback_error)
    }

    async fn send_task_failure(&self, token: &str, error: &str, cause: &str) -> Result<(), CallbackError> {
        self.callbacks()?.send_task_failure(token, error, cause).map_err(callback_error)
    }

    async fn send_task_heartbeat(&self, token: &str) -> Result<(), CallbackError> {
        self.callbacks()?.send_task_heartbeat(token).map_err(callback_error)
    }
}
