//! One execution: what is known of it, and its history.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::history::{EventType, HistoryEvent, HistoryObserver, redacted, redacted_text};
use crate::limit;
use crate::lock::lock;

/// The name of an execution in the form of AWS's ARN: `arn:aws:states:local:000000000000:execution:<machine>:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(String);

impl ExecutionId {
    pub(crate) fn new(state_machine: &str, name: &str) -> Self {
        Self(format!("arn:aws:states:local:000000000000:execution:{state_machine}:{name}"))
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ExecutionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The name of a state machine in the form of AWS's ARN.
pub(crate) fn state_machine_id(name: &str) -> String {
    format!("arn:aws:states:local:000000000000:stateMachine:{name}")
}

/// How an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionStatus {
    /// It has not ended.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// It took longer than its state machine allows.
    TimedOut,
    /// It was stopped.
    Aborted,
}

impl ExecutionStatus {
    /// AWS's name of the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

/// What `DescribeExecution` tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// The id of the execution.
    pub id: ExecutionId,
    /// The state machine it runs. The children of a distributed Map run `<machine>/<state>`.
    pub state_machine: String,
    /// Its name, unique within its state machine.
    pub name: String,
    /// The digest of the definition it began with, and keeps.
    pub definition_digest: String,
    /// How it stands.
    pub status: ExecutionStatus,
    /// What it was given.
    pub input: Value,
    /// What it gave, when it succeeded.
    pub output: Option<Value>,
    /// The name of the error it ended with.
    pub error: Option<String>,
    /// What is known of the reason.
    pub cause: Option<String>,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub stop_time: Option<Timestamp>,
}

/// How an execution ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Succeeded(Value),
    Failed(Failure),
    TimedOut,
    Aborted { error: String, cause: String },
}

/// An error on its way through the states: to a retrier, a catcher, or the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) error: String,
    pub(crate) cause: String,
}

impl Failure {
    pub(crate) fn new(error: &str, cause: impl Into<String>) -> Self {
        Self { error: error.to_owned(), cause: cause.into() }
    }

    /// The members of the details of a failure event.
    pub(crate) fn details(&self) -> Value {
        details_of(&self.error, &self.cause)
    }
}

/// An error and its cause, without the parts that say nothing.
pub(crate) fn details_of(error: &str, cause: &str) -> Value {
    let parts = [("error", error), ("cause", cause)];
    let told = parts.into_iter().filter(|(_, text)| !text.is_empty());
    Value::Object(told.map(|(name, text)| (name.to_owned(), json!(text))).collect())
}

fn told(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The place in a history that the next event follows from. Each iteration of a Map has its own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trail {
    previous: u64,
}

/// An execution as the runner keeps it.
pub(crate) struct Record {
    pub(crate) id: ExecutionId,
    pub(crate) state_machine: String,
    pub(crate) name: String,
    pub(crate) input: Value,
    pub(crate) start_time: Timestamp,
    definition_digest: String,
    clock: Clock,
    observer: Option<Arc<dyn HistoryObserver>>,
    progress: Mutex<Progress>,
    closed: watch::Sender<bool>,
}

struct Progress {
    status: ExecutionStatus,
    output: Option<Value>,
    error: Option<String>,
    cause: Option<String>,
    stop_time: Option<Timestamp>,
    events: Vec<HistoryEvent>,
    /// The runner was killed: nothing more is written.
    frozen: bool,
    running: Option<AbortHandle>,
}

impl Progress {
    fn is_over(&self) -> bool {
        self.frozen || self.status != ExecutionStatus::Running
    }
}

impl Record {
    pub(crate) fn new(
        state_machine: &str,
        name: &str,
        input: Value,
        definition_digest: &str,
        clock: Clock,
        observer: Option<Arc<dyn HistoryObserver>>,
    ) -> Self {
        Self {
            id: ExecutionId::new(state_machine, name),
            state_machine: state_machine.to_owned(),
            name: name.to_owned(),
            input,
            start_time: clock.now(),
            definition_digest: definition_digest.to_owned(),
            clock,
            observer,
            progress: Mutex::new(Progress {
                status: ExecutionStatus::Running,
                output: None,
                error: None,
                cause: None,
                stop_time: None,
                events: Vec::new(),
                frozen: false,
                running: None,
            }),
            closed: watch::Sender::new(false),
        }
    }

    pub(crate) fn describe(&self) -> Execution {
        let progress = lock(&self.progress);
        Execution {
            id: self.id.clone(),
            state_machine: self.state_machine.clone(),
            name: self.name.clone(),
            definition_digest: self.definition_digest.clone(),
            status: progress.status,
            input: self.input.clone(),
            output: progress.output.clone(),
            error: progress.error.clone(),
            cause: progress.cause.clone(),
            start_time: self.start_time,
            stop_time: progress.stop_time,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        lock(&self.progress).status == ExecutionStatus::Running
    }

    pub(crate) fn history(&self) -> Vec<HistoryEvent> {
        lock(&self.progress).events.clone()
    }

    /// Whether the history has room for the end only: every other event must leave it.
    pub(crate) fn history_is_full(&self) -> bool {
        lock(&self.progress).events.len() as u64 + 1 >= limit::HISTORY_EVENTS
    }

    /// Notes what does the work, to drop it when the execution is stopped: at once, if that has happened already.
    pub(crate) fn runs_as(&self, handle: AbortHandle) {
        let mut progress = lock(&self.progress);
        match progress.is_over() {
            true => handle.abort(),
            false => progress.running = Some(handle),
        }
    }

    /// Drops the work of the execution, wherever it is.
    pub(crate) fn abandon(&self) {
        if let Some(handle) = lock(&self.progress).running.take() {
            handle.abort();
        }
    }

    /// Drops the work and leaves everything else as it is.
    pub(crate) fn freeze(&self) {
        lock(&self.progress).frozen = true;
        self.abandon();
    }

    /// Waits until the execution has ended, or will never end.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives in this record: there is always one.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Lets everyone who waits go on.
    pub(crate) fn release(&self) {
        self.closed.send_replace(true);
    }

    /// Writes an event that follows from the one before it on this trail. After the end nothing is written.
    pub(crate) fn event(&self, trail: &mut Trail, event_type: EventType, details: Value) {
        let mut progress = lock(&self.progress);
        if progress.is_over() {
            return;
        }
        trail.previous = self.append(&mut progress, trail.previous, event_type, redacted(details));
    }

    /// Writes the first event. The events after it do not follow from it: AWS counts them from 0.
    pub(crate) fn started(&self) {
        let details = json!({ "input": self.input.to_string(), "inputDetails": { "truncated": false } });
        self.event(&mut Trail::default(), EventType::ExecutionStarted, details);
    }

    /// Ends the execution, once: `false` when it had ended before.
    pub(crate) fn end(&self, trail: Trail, ending: Ending) -> bool {
        let mut progress = lock(&self.progress);
        if progress.is_over() {
            return false;
        }
        let (event_type, status, details) = self.close(&mut progress, ending);
        self.append(&mut progress, trail.previous, event_type, redacted(details));
        progress.status = status;
        progress.stop_time = Some(self.clock.now());
        drop(progress);
        self.release();
        true
    }

    fn close(&self, progress: &mut Progress, ending: Ending) -> (EventType, ExecutionStatus, Value) {
        match ending {
            Ending::Succeeded(output) => {
                let details =
                    json!({ "output": output.to_string(), "outputDetails": { "truncated": false } });
                progress.output = Some(output);
                (EventType::ExecutionSucceeded, ExecutionStatus::Succeeded, details)
            }
            Ending::Failed(failure) => {
                let details = failure.details();
                progress.error = told(failure.error);
                progress.cause = told(redacted_text(failure.cause));
                (EventType::ExecutionFailed, ExecutionStatus::Failed, details)
            }
            Ending::TimedOut => {
                progress.error = Some(crate::retry::TIMEOUT.to_owned());
                (EventType::ExecutionTimedOut, ExecutionStatus::TimedOut, json!({}))
            }
            Ending::Aborted { error, cause } => {
                let details = details_of(&error, &cause);
                progress.error = told(error);
                progress.cause = told(cause);
                (EventType::ExecutionAborted, ExecutionStatus::Aborted, details)
            }
        }
    }

    /// The observer is called under the lock of the history, so that it sees the events in their order.
    fn append(
        &self,
        progress: &mut Progress,
        previous: u64,
        event_type: EventType,
        details: Map<String, Value>,
    ) -> u64 {
        let event = HistoryEvent {
            id: progress.events.len() as u64 + 1,
            previous_event_id: previous,
            timestamp: self.clock.now(),
            event_type,
            details,
        };
        tracing::debug!(
            state_machine = self.state_machine,
            execution = self.name,
            id = event.id,
            event = event_type.as_str(),
            state = event.state_name(),
            error = event.error(),
        );
        if let Some(observer) = &self.observer {
            observer.observe(&self.state_machine, &self.name, &event);
        }
        let id = event.id;
        progress.events.push(event);
        id
    }
}
