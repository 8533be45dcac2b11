//! Runs state machines: starts, stops and describes executions, and takes the answers of tasks that wait.

pub(crate) mod callback;
pub(crate) mod execution;
mod map;
mod task;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::clock::Clock;
use crate::definition::StateMachine;
use crate::history::{HistoryEvent, HistoryObserver};
use crate::limit;
use crate::lock::lock;
use crate::randomness::Randomness;
use callback::{CallbackError, Callbacks};
use execution::{Ending, Execution, ExecutionId, Record, Trail};
use walk::Walker;

/// Does the work of the Tasks: in the embedded product and in tests, what Lambda is on AWS.
#[async_trait]
pub trait TaskInvoker: Send + Sync {
    /// Runs the function and gives its answer. The future is dropped when the attempt times out or the execution is
    /// stopped. For an invocation that waits for its callback, the answer is not the result of the task.
    async fn invoke(&self, invocation: Invocation) -> Result<Value, TaskError>;
}

/// One call of one function.
#[derive(Clone, PartialEq)]
pub struct Invocation {
    /// The state machine; inside a distributed Map, `<machine>/<state>`.
    pub state_machine: String,
    /// The execution.
    pub execution_name: String,
    /// The state.
    pub state: String,
    /// The retries of this visit to the state so far.
    pub retry_count: u32,
    /// The function, as the file names it after substitution.
    pub function_name: String,
    /// What the function is given.
    pub payload: Value,
    /// Whether the task goes on waiting for a callback after this.
    pub waits_for_callback: bool,
}

impl fmt::Debug for Invocation {
    /// Without the payload: it can hold the task token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Invocation")
            .field("state_machine", &self.state_machine)
            .field("execution_name", &self.execution_name)
            .field("state", &self.state)
            .field("retry_count", &self.retry_count)
            .field("function_name", &self.function_name)
            .field("waits_for_callback", &self.waits_for_callback)
            .finish_non_exhaustive()
    }
}

/// How a function failed: what `Retry` and `Catch` match, and what people read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {cause}")]
pub struct TaskError {
    /// The stable name of the error.
    pub error: String,
    /// What happened.
    pub cause: String,
}

impl TaskError {
    /// An error of this name, for this reason.
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: error.into(), cause: cause.into() }
    }
}

/// What a runner is built with.
#[derive(Clone)]
pub struct RunnerOptions {
    /// The seed of jitter, `$random` and `$uuid`. Task tokens do not come from it.
    pub jitter_seed: u64,
    /// What the clock shows when the runner is built; it goes on with tokio's clock, also when that is paused.
    pub epoch: Timestamp,
    /// Is told of every event.
    pub observer: Option<Arc<dyn HistoryObserver>>,
}

impl Default for RunnerOptions {
    /// The time of this machine, a seed of chance, nobody told.
    fn default() -> Self {
        Self { jitter_seed: rand::random(), epoch: Timestamp::now(), observer: None }
    }
}

impl fmt::Debug for RunnerOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RunnerOptions")
            .field("jitter_seed", &self.jitter_seed)
            .field("epoch", &self.epoch)
            .field("observer", &self.observer.is_some())
            .finish()
    }
}

/// Why an execution was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// No state machine of this name was added.
    #[error("there is no state machine {0:?}")]
    StateMachineDoesNotExist(String),
    /// The state machine has an execution of this name that has ended or was given something else.
    #[error("the execution {0:?} exists already and has ended or was given another input")]
    ExecutionAlreadyExists(String),
    /// The name is empty, too long, or has a character that no name may have.
    #[error("{0:?} cannot be the name of an execution")]
    InvalidName(String),
    /// The input is larger than Step Functions carries.
    #[error("the input is larger than 256 KiB")]
    InvalidExecutionInput,
    /// The runner was killed.
    #[error("the runner was killed")]
    Killed,
}

/// Why an execution was not stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// The state machine has no execution of this name.
    #[error("there is no execution {0:?}")]
    ExecutionDoesNotExist(String),
}

/// Runs state machines. Clones are the same runner.
#[derive(Clone)]
pub struct Runner(Arc<Shared>);

/// A runner that others keep alive: what the steps of a runner hold, which the runner itself holds.
#[derive(Clone)]
pub struct WeakRunner(Weak<Shared>);

impl WeakRunner {
    /// The runner, while somebody keeps it alive.
    pub fn upgrade(&self) -> Option<Runner> {
        self.0.upgrade().map(Runner)
    }
}

impl fmt::Debug for WeakRunner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WeakRunner")
    }
}

pub(crate) struct Shared {
    invoker: Arc<dyn TaskInvoker>,
    observer: Option<Arc<dyn HistoryObserver>>,
    clock: Clock,
    randomness: Randomness,
    callbacks: Callbacks,
    machines: Mutex<BTreeMap<String, StateMachine>>,
    executions: Mutex<BTreeMap<(String, String), Arc<Record>>>,
    killed: AtomicBool,
}

impl fmt::Debug for Runner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Runner")
            .field("state_machines", &lock(&self.0.machines).keys())
            .field("executions", &lock(&self.0.executions).keys())
            .finish()
    }
}

impl Runner {
    /// A runner without state machines. Its clock starts now.
    pub fn new(invoker: Arc<dyn TaskInvoker>, options: RunnerOptions) -> Self {
        Self(Arc::new(Shared {
            invoker,
            observer: options.observer,
            clock: Clock::starting_at(options.epoch),
            randomness: Randomness::seeded(options.jitter_seed),
            callbacks: Callbacks::default(),
            machines: Mutex::default(),
            executions: Mutex::default(),
            killed: AtomicBool::new(false),
        }))
    }

    /// The same runner, without keeping it alive.
    pub fn downgrade(&self) -> WeakRunner {
        WeakRunner(Arc::downgrade(&self.0))
    }

    /// Adds a state machine, or replaces the one of the same name: executions that run keep theirs.
    pub fn add(&self, machine: StateMachine) {
        lock(&self.0.machines).insert(machine.name().to_owned(), machine);
    }

    /// The time on the runner's clock.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Starts an execution. Starting it again, with the same input, while it runs, is no error and changes nothing.
    pub async fn start_execution(
        &self,
        machine: &str,
        name: &str,
        input: Value,
    ) -> Result<ExecutionId, StartError> {
        self.start(machine, name, input).map(|record| record.id.clone())
    }

    fn start(&self, machine: &str, name: &str, input: Value) -> Result<Arc<Record>, StartError> {
        let definition = lock(&self.0.machines)
            .get(machine)
            .cloned()
            .ok_or_else(|| StartError::StateMachineDoesNotExist(machine.to_owned()))?;
        if !is_execution_name(name) {
            return Err(StartError::InvalidName(name.to_owned()));
        }
        if !limit::fits(&input) {
            return Err(StartError::InvalidExecutionInput);
        }
        match self.0.register(&definition, name, input)? {
            Registered::Before(record) => Ok(record),
            Registered::Now(record) => {
                self.spawn(definition, Arc::clone(&record));
                Ok(record)
            }
        }
    }

    fn spawn(&self, definition: StateMachine, record: Arc<Record>) {
        let walker = Walker::new(Arc::clone(&self.0), definition, Arc::clone(&record));
        let running = tokio::spawn(async move { walker.run_to_end().await });
        record.runs_as(running.abort_handle());
    }

    /// What is known of an execution.
    pub fn describe_execution(&self, machine: &str, name: &str) -> Option<Execution> {
        self.0.record(machine, name).map(|record| record.describe())
    }

    /// Stops an execution. What has ended stays as it ended. The work of the execution is dropped at its next await
    /// point; the executions it waits for are stopped with it.
    pub async fn stop_execution(
        &self,
        machine: &str,
        name: &str,
        error: &str,
        cause: &str,
    ) -> Result<(), StopError> {
        let record =
            self.0.record(machine, name).ok_or_else(|| StopError::ExecutionDoesNotExist(name.to_owned()))?;
        stop(&record, error, cause);
        // Others get the chance to see what was dropped.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Waits for the end of an execution, and describes it. After [`Runner::kill`] it describes it as it stood.
    pub async fn wait(&self, machine: &str, name: &str) -> Option<Execution> {
        let record = self.0.record(machine, name)?;
        record.closed().await;
        Some(record.describe())
    }

    /// Ends the task that waits under this token, with its result.
    pub fn send_task_success(&self, token: &str, output: Value) -> Result<(), CallbackError> {
        self.0.callbacks.succeed(token, output)
    }

    /// Ends the task that waits under this token, with an error.
    pub fn send_task_failure(&self, token: &str, error: &str, cause: &str) -> Result<(), CallbackError> {
        self.0.callbacks.fail(token, TaskError::new(error, cause))
    }

    /// Tells that the work for this token goes on.
    pub fn send_task_heartbeat(&self, token: &str) -> Result<(), CallbackError> {
        self.0.callbacks.beat(token)
    }

    /// The events of an execution so far; none, when there is no such execution.
    pub fn history(&self, machine: &str, name: &str) -> Vec<HistoryEvent> {
        let record = self.0.record(machine, name);
        record.map(|record| record.history()).unwrap_or_default()
    }

    /// Every execution, by state machine and name, those of distributed Maps among them.
    pub fn executions(&self) -> Vec<Execution> {
        let executions = lock(&self.0.executions);
        executions.values().map(|record| record.describe()).collect()
    }

    /// Drops every execution that runs, without another event, as when the process is killed. What ran stays
    /// *running* for ever, its tokens are dead, and nothing can be started any more.
    pub fn kill(&self) {
        self.0.killed.store(true, Ordering::SeqCst);
        let executions = lock(&self.0.executions);
        executions.values().for_each(|record| record.freeze());
        executions.values().for_each(|record| record.release());
    }
}

/// Aborts an execution that runs.
fn stop(record: &Record, error: &str, cause: &str) {
    let ending = Ending::Aborted { error: error.to_owned(), cause: cause.to_owned() };
    if record.end(Trail::default(), ending) {
        record.abandon();
    }
}

enum Registered {
    Now(Arc<Record>),
    Before(Arc<Record>),
}

impl Shared {
    fn record(&self, machine: &str, name: &str) -> Option<Arc<Record>> {
        let key = (machine.to_owned(), name.to_owned());
        lock(&self.executions).get(&key).cloned()
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Enters a new execution, or finds the same one running.
    fn register(
        &self,
        definition: &StateMachine,
        name: &str,
        input: Value,
    ) -> Result<Registered, StartError> {
        let mut executions = lock(&self.executions);
        if self.was_killed() {
            return Err(StartError::Killed);
        }
        let key = (definition.name().to_owned(), name.to_owned());
        if let Some(record) = executions.get(&key) {
            return match record.is_running() && record.input == input {
                true => Ok(Registered::Before(Arc::clone(record))),
                false => Err(StartError::ExecutionAlreadyExists(name.to_owned())),
            };
        }
        let record = self.new_record(definition, name, input);
        executions.insert(key, Arc::clone(&record));
        drop(executions);
        record.started();
        Ok(Registered::Now(record))
    }

    /// Enters the execution of a child of a distributed Map, under a name of chance as on AWS.
    fn enter_child(&self, definition: &StateMachine, input: Value) -> Arc<Record> {
        let name = self.randomness.uuid();
        let record = self.new_record(definition, &name, input);
        lock(&self.executions).insert((definition.name().to_owned(), name), Arc::clone(&record));
        record.started();
        record
    }

    fn new_record(&self, definition: &StateMachine, name: &str, input: Value) -> Arc<Record> {
        Arc::new(Record::new(
            definition.name(),
            name,
            input,
            definition.digest(),
            self.clock,
            self.observer.clone(),
        ))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// AWS, `StartExecution`, request parameter `name`: up to 80 characters, none of those listed.
fn is_execution_name(name: &str) -> bool {
    let is_refused =
        |it: char| it.is_whitespace() || it.is_control() || "<>{}[]?*\"#%\\^|~`$&,;:/".contains(it);
    let length = name.chars().count();
    (1..=limit::NAME_CHARACTERS).contains(&length) && !name.contains(is_refused)
}
