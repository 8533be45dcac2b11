//! The state machines on AWS Step Functions.

mod arn;
mod limit;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sfn::types::ExecutionStatus;
use rekindle_aws_calls::LogCalls;
use rekindle_step::{CallbackError, ExecutionState, StartError, Workflow};
use serde_json::Value;

use crate::failure::line;

pub use arn::StateMachines;

/// The error that a stopped execution ends with.
const STOPPED: &str = "Rekindle.Stopped";

/// The state machines of one deployment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StepFunctions {
    client: Client,
    machines: StateMachines,
}

impl StepFunctions {
    /// With a client of its own.
    pub fn new(aws: &SdkConfig, machines: StateMachines) -> Self {
        let config = aws_sdk_sfn::config::Builder::from(aws).interceptor(LogCalls).build();
        Self { client: Client::from_conf(config), machines }
    }
}

#[async_trait]
impl Workflow for StepFunctions {
    /// AWS, `StartExecution`: for a standard state machine a second start with the same name and input is the first
    /// one, for as long as it runs. Afterwards its name stays taken for ninety days.
    async fn start_execution(&self, state_machine: &str, name: &str, input: Value) -> Result<(), StartError> {
        let input = input.to_string();
        limit::name(name)
            .and_then(|()| limit::payload(&input, "the input"))
            .map_err(StartError::Unavailable)?;
        let request = self.client.start_execution().state_machine_arn(self.machines.live(state_machine));
        match request.name(name).input(input).send().await {
            Ok(_) => Ok(()),
            Err(error) if has_code(&error, &["ExecutionAlreadyExists"]) => {
                Err(StartError::AlreadyExists(name.to_owned()))
            }
            Err(error) => Err(StartError::Unavailable(line(&error))),
        }
    }

    async fn describe_execution(
        &self,
        state_machine: &str,
        name: &str,
    ) -> Result<ExecutionState, StartError> {
        limit::name(name).map_err(StartError::Unavailable)?;
        let request =
            self.client.describe_execution().execution_arn(self.machines.execution(state_machine, name));
        match request.send().await {
            Ok(answer) => Ok(state_of(answer.status())),
            Err(error) if has_code(&error, &["ExecutionDoesNotExist"]) => Ok(ExecutionState::Unknown),
            Err(error) => Err(StartError::Unavailable(line(&error))),
        }
    }

    async fn stop_execution(&self, state_machine: &str, name: &str, cause: &str) -> Result<(), StartError> {
        limit::name(name).map_err(StartError::Unavailable)?;
        let request =
            self.client.stop_execution().execution_arn(self.machines.execution(state_machine, name));
        match request.error(STOPPED).cause(limit::cause(cause)).send().await {
            Ok(_) => Ok(()),
            Err(error) if has_code(&error, &["ExecutionDoesNotExist"]) => Ok(()),
            Err(error) => Err(StartError::Unavailable(line(&error))),
        }
    }

    async fn send_task_success(&self, token: &str, output: Value) -> Result<(), CallbackError> {
        let output = output.to_string();
        limit::payload(&output, "the output").map_err(CallbackError::Unavailable)?;
        let request = self.client.send_task_success().task_token(token).output(output);
        request.send().await.map(drop).map_err(|error| callback_error(&error))
    }

    async fn send_task_failure(&self, token: &str, error: &str, cause: &str) -> Result<(), CallbackError> {
        let request = self.client.send_task_failure().task_token(token);
        let request = request.error(limit::error_name(error)).cause(limit::cause(cause));
        request.send().await.map(drop).map_err(|error| callback_error(&error))
    }

    async fn send_task_heartbeat(&self, token: &str) -> Result<(), CallbackError> {
        let request = self.client.send_task_heartbeat().task_token(token);
        request.send().await.map(drop).map_err(|error| callback_error(&error))
    }
}

/// One that is about to be redriven will run again.
fn state_of(status: &ExecutionStatus) -> ExecutionState {
    match status {
        ExecutionStatus::Running | ExecutionStatus::PendingRedrive => ExecutionState::Running,
        _ => ExecutionState::Terminal,
    }
}

fn has_code<E: ProvideErrorMetadata>(error: &SdkError<E>, codes: &[&str]) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code.is_some_and(|code| codes.contains(&code))
}

/// AWS, `SendTaskSuccess`: `TaskTimedOut` is also what a task says that was answered already, and `InvalidToken` what
/// no task ever had. Waiting changes none of them.
fn callback_error<E: ProvideErrorMetadata>(error: &SdkError<E>) -> CallbackError {
    match has_code(error, &["TaskDoesNotExist", "TaskTimedOut", "InvalidToken"]) {
        true => CallbackError::Gone,
        false => CallbackError::Unavailable(line(error)),
    }
}

#[cfg(test)]
mod tests;
