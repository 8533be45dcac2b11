//! One attempt of one Task.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::callback::{Message, Waiting};
use super::execution::{Execution, ExecutionStatus, Failure, Record, Trail, state_machine_id};
use super::walk::{Extra, Visit, Walker, fitting, object};
use super::{Invocation, Runner, Shared, StartError, TaskError, stop};
use crate::definition::outline::Integration;
use crate::definition::{Call, Quantity, Task};
use crate::history::EventType;
use crate::limit;
use crate::retry::{HEARTBEAT_TIMEOUT, RUNTIME, TASK_FAILED, TIMEOUT};

/// How long an attempt may take, and how long it may be silent.
#[derive(Debug, Clone, Copy)]
struct Patience {
    timeout: Option<Duration>,
    heartbeat: Option<Duration>,
    started: Instant,
}

impl Patience {
    fn deadline(&self) -> Option<Instant> {
        self.timeout.map(|timeout| self.started + timeout)
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        Failure::new(&error.error, error.cause)
    }
}

impl Walker {
    /// Schedules the call, makes it, and gives its result. Every attempt has its own token and its own time.
    pub(super) async fn attempt_task(
        &self,
        visit: &Visit<'_>,
        task: &Task,
        retry_count: u32,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let integration = integration_of(&task.call);
        let mut waiting = match integration {
            Integration::LambdaInvokeWaitForTaskToken => Some(self.shared.callbacks.wait()),
            _ => None,
        };
        let extra = Extra {
            token: waiting.as_ref().map(Waiting::token),
            retry_count: Some(retry_count),
            ..Extra::default()
        };
        let arguments = self.evaluate(visit, &task.arguments, "Arguments", &extra, trail)?;
        fitting(&arguments, "what the task is given")?;
        let timeout = self.seconds(visit, &task.timeout, "TimeoutSeconds", retry_count, trail)?;
        let heartbeat = self.seconds(visit, &task.heartbeat, "HeartbeatSeconds", retry_count, trail)?;
        self.schedule(integration, &arguments, timeout, heartbeat, trail);
        let patience = Patience {
            timeout: timeout.map(Duration::from_secs),
            heartbeat: heartbeat.map(Duration::from_secs),
            started: Instant::now(),
        };
        let result = match (&task.call, &mut waiting) {
            (Call::Function { name, .. }, None) => {
                let invocation = self.invocation(visit, name, &arguments, retry_count, false);
                self.invoke(invocation, patience).await
            }
            (Call::Function { name, .. }, Some(waiting)) => {
                let invocation = self.invocation(visit, name, &arguments, retry_count, true);
                self.invoke_and_wait(invocation, waiting, patience, trail).await
            }
            (Call::Execution { state_machine }, _) => {
                self.start_and_wait(state_machine, &arguments, patience, trail).await
            }
        };
        // From here on a late answer for this attempt is refused.
        drop(waiting);
        let result = result.and_then(|result| fitting(&result, "the result of the task").map(|()| result));
        self.report(integration, &result, trail);
        result
    }

    fn seconds(
        &self,
        visit: &Visit<'_>,
        quantity: &Option<Quantity>,
        location: &str,
        retry_count: u32,
        trail: &mut Trail,
    ) -> Result<Option<u64>, Failure> {
        let extra = Extra { retry_count: Some(retry_count), ..Extra::default() };
        let seconds = quantity
            .as_ref()
            .map(|quantity| self.quantity(visit, quantity, location, (1, limit::SECONDS), &extra, trail));
        seconds.transpose()
    }

    fn schedule(
        &self,
        integration: Integration,
        arguments: &Value,
        timeout: Option<u64>,
        heartbeat: Option<u64>,
        trail: &mut Trail,
    ) {
        let mut details = resource_details(integration);
        details.extend(object([("region", json!("local")), ("parameters", json!(arguments.to_string()))]));
        details.extend(timeout.map(|seconds| ("timeoutInSeconds".to_owned(), json!(seconds))));
        details.extend(heartbeat.map(|seconds| ("heartbeatInSeconds".to_owned(), json!(seconds))));
        self.record.event(trail, EventType::TaskScheduled, Value::Object(details));
        let started = Value::Object(resource_details(integration));
        self.record.event(trail, EventType::TaskStarted, started);
    }

    fn submitted(&self, integration: Integration, answer: &Value, trail: &mut Trail) {
        let mut details = resource_details(integration);
        details.extend(output_details(answer));
        self.record.event(trail, EventType::TaskSubmitted, Value::Object(details));
    }

    fn report(&self, integration: Integration, result: &Result<Value, Failure>, trail: &mut Trail) {
        let mut details = resource_details(integration);
        let event_type = match result {
            Ok(result) => {
                details.extend(output_details(result));
                EventType::TaskSucceeded
            }
            Err(failure) => {
                if let Value::Object(told) = failure.details() {
                    details.extend(told);
                }
                match failure.error.as_str() {
                    TIMEOUT | HEARTBEAT_TIMEOUT => EventType::TaskTimedOut,
                    _ => EventType::TaskFailed,
                }
            }
        };
        self.record.event(trail, event_type, Value::Object(details));
    }

    fn invocation(
        &self,
        visit: &Visit<'_>,
        function_name: &str,
        arguments: &Value,
        retry_count: u32,
        waits_for_callback: bool,
    ) -> Invocation {
        Invocation {
            state_machine: self.machine.name().to_owned(),
            execution_name: self.record.name.clone(),
            state: visit.state.name.clone(),
            retry_count,
            function_name: function_name.to_owned(),
            // Without a payload, Lambda gives the function an empty object.
            payload: arguments.get("Payload").cloned().unwrap_or_else(|| json!({})),
            waits_for_callback,
        }
    }

    async fn invoke(&self, invocation: Invocation, patience: Patience) -> Result<Value, Failure> {
        let answer = before(patience.deadline(), self.shared.invoker.invoke(invocation)).await?;
        Ok(lambda_result(answer?))
    }

    /// Invokes the function, and waits for the callback and for the function: a callback can come before the
    /// function has ended, and the function is let end, as it would on AWS.
    async fn invoke_and_wait(
        &self,
        invocation: Invocation,
        waiting: &mut Waiting,
        patience: Patience,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let mut invoking = self.shared.invoker.invoke(invocation);
        let callback = answer(waiting, patience);
        tokio::pin!(callback);
        let answered_first = tokio::select! {
            biased;
            result = &mut callback => Some(result?),
            answered = &mut invoking => {
                self.submitted_function(answered?, trail);
                None
            }
        };
        let Some(result) = answered_first else {
            return callback.await?;
        };
        // What the function says no longer matters, nor that it takes too long.
        if let Ok(Ok(answered)) = before(patience.deadline(), invoking).await {
            self.submitted_function(answered, trail);
        }
        result
    }

    fn submitted_function(&self, answered: Value, trail: &mut Trail) {
        self.submitted(Integration::LambdaInvokeWaitForTaskToken, &lambda_result(answered), trail);
    }

    /// Starts an execution, or finds it running, and waits for its end.
    async fn start_and_wait(
        &self,
        state_machine: &str,
        arguments: &Value,
        patience: Patience,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let name = match arguments.get("Name") {
            None => self.shared.randomness.uuid(),
            Some(Value::String(name)) => name.clone(),
            Some(_) => return Err(Failure::new(RUNTIME, "the field \"Name\" of Arguments must be a string")),
        };
        let input = arguments.get("Input").cloned().unwrap_or_else(|| json!({}));
        let machine = state_machine.rsplit(':').next().unwrap_or(state_machine);
        let child = Runner(Arc::clone(&self.shared)).start(machine, &name, input);
        let child = Child::of(&self.shared, child.map_err(start_failure)?);
        let started = json!({
            "ExecutionArn": child.record.id,
            "StartDate": child.record.start_time.as_millisecond(),
        });
        self.submitted(Integration::StartExecutionSync, &started, trail);
        let execution = before(patience.deadline(), child.ended()).await?;
        match execution.status {
            ExecutionStatus::Succeeded => Ok(child_result(&execution)),
            _ => Err(Failure::new(TASK_FAILED, child_cause(&execution).to_string())),
        }
    }
}

/// An execution that another one waits for. When it no longer does, the child is stopped, as AWS tries to.
pub(super) struct Child {
    pub(super) record: Arc<Record>,
    shared: Arc<Shared>,
}

impl Child {
    pub(super) fn of(shared: &Arc<Shared>, record: Arc<Record>) -> Self {
        Self { record, shared: Arc::clone(shared) }
    }

    /// The execution once it has ended.
    pub(super) async fn ended(&self) -> Execution {
        self.record.closed().await;
        if self.record.is_running() {
            // The runner was killed: nobody hears of an end any more.
            std::future::pending::<()>().await;
        }
        self.record.describe()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.shared.was_killed() {
            stop(&self.record, "", "the execution that waited for this one no longer does");
        }
    }
}

fn integration_of(call: &Call) -> Integration {
    match call {
        Call::Function { waits_for_callback: false, .. } => Integration::LambdaInvoke,
        Call::Function { waits_for_callback: true, .. } => Integration::LambdaInvokeWaitForTaskToken,
        Call::Execution { .. } => Integration::StartExecutionSync,
    }
}

/// `resource` and `resourceType`, as the history of AWS splits the resource of a Task.
fn resource_details(integration: Integration) -> serde_json::Map<String, Value> {
    let service_and_action = integration.resource().trim_start_matches("arn:aws:states:::");
    let (service, action) = service_and_action.split_once(':').unwrap_or((service_and_action, ""));
    object([("resourceType", json!(service)), ("resource", json!(action))])
}

fn output_details(output: &Value) -> serde_json::Map<String, Value> {
    object([("output", json!(output.to_string())), ("outputDetails", json!({ "truncated": false }))])
}

/// Lets a future run until a deadline.
async fn before<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Result<T, Failure> {
    match deadline {
        None => Ok(future.await),
        Some(deadline) => {
            tokio::time::timeout_at(deadline, future).await.map_err(|_| Failure::new(TIMEOUT, ""))
        }
    }
}

/// Waits for the answer of a task under its token, for as long as its heartbeats and its time-out allow; the outer
/// error is that it did not come.
async fn answer(waiting: &mut Waiting, patience: Patience) -> Result<Result<Value, Failure>, Failure> {
    let mut last_sign = patience.started;
    loop {
        let heartbeat = patience.heartbeat.map(|heartbeat| last_sign + heartbeat);
        // At the same instant the time-out of the whole attempt is the one to report.
        let (deadline, error) = match (patience.deadline(), heartbeat) {
            (Some(deadline), Some(heartbeat)) if heartbeat < deadline => (Some(heartbeat), HEARTBEAT_TIMEOUT),
            (None, Some(heartbeat)) => (Some(heartbeat), HEARTBEAT_TIMEOUT),
            (deadline, _) => (deadline, TIMEOUT),
        };
        let message = before(deadline, waiting.message()).await;
        match message.map_err(|_| Failure::new(error, ""))? {
            Message::Success(output) => return Ok(Ok(output)),
            Message::Failure(failure) => return Ok(Err(failure.into())),
            Message::Heartbeat(sent) => last_sign = sent,
        }
    }
}

/// The result of `lambda:invoke`, without the headers of HTTP that AWS adds.
fn lambda_result(answer: Value) -> Value {
    json!({ "ExecutedVersion": "$LATEST", "Payload": answer, "StatusCode": 200 })
}

/// AWS names the exceptions of a service after it.
fn start_failure(error: StartError) -> Failure {
    let name = match &error {
        StartError::StateMachineDoesNotExist(_) => "StepFunctions.StateMachineDoesNotExistException",
        StartError::ExecutionAlreadyExists(_) => "StepFunctions.ExecutionAlreadyExistsException",
        StartError::InvalidName(_) => "StepFunctions.InvalidNameException",
        StartError::InvalidExecutionInput => "StepFunctions.InvalidExecutionInputException",
        StartError::Killed => RUNTIME,
    };
    Failure::new(name, error.to_string())
}

/// The members of a description that success and failure share.
fn child_description(execution: &Execution) -> serde_json::Map<String, Value> {
    object([
        ("ExecutionArn", json!(execution.id)),
        ("Name", json!(execution.name)),
        ("StartDate", json!(execution.start_time.as_millisecond())),
        ("StateMachineArn", json!(state_machine_id(&execution.state_machine))),
        ("Status", json!(execution.status)),
        ("StopDate", json!(execution.stop_time.map(|time| time.as_millisecond()))),
    ])
}

/// `.sync:2` gives input and output as JSON.
fn child_result(execution: &Execution) -> Value {
    let mut result = child_description(execution);
    result.extend(object([
        ("Input", execution.input.clone()),
        ("Output", execution.output.clone().unwrap_or_default()),
    ]));
    Value::Object(result)
}

/// The cause of a failed child is its description, with the input as text.
fn child_cause(execution: &Execution) -> Value {
    let mut cause = child_description(execution);
    cause.extend(object([("Input", json!(execution.input.to_string()))]));
    cause.extend(execution.error.iter().map(|error| ("Error".to_owned(), json!(error))));
    cause.extend(execution.cause.iter().map(|reason| ("Cause".to_owned(), json!(reason))));
    Value::Object(cause)
}
