//! What goes wrong in a Task, and how: around the invocation of its step, and around the answers to its token.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rekindle_domain::RunId;
use rekindle_flow::{Invocation, TaskError, TaskInvoker};
use rekindle_step::{CallbackError, ExecutionState, StartError, Workflow};
use serde_json::Value;

/// Later than all retries of a state, and what comes after them, take.
const MUCH_LATER: Duration = Duration::from_mins(45);

/// Everything that is done to every Task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Every invocation fails, and trying again does not help although it is said to.
    TransientUntilExhausted,
    /// Two invocations fail, the third does not.
    TransientTwice,
    /// The step fails before it does anything.
    PermanentBeforeTheEffect,
    /// The step does its work, and fails then.
    PermanentAfterTheEffect,
    /// The first invocation hangs for longer than the state waits, and has its effect right then.
    TimedOutBeforeALateEffect,
    /// Every invocation hangs, and has its effect when the run has long been given up.
    TimedOutAlways,
    /// The step does its work, and the answer is lost.
    AnswerLost,
    /// What the task waits for is told, and nobody hears it.
    CallbackLost,
    /// Nothing that is told ever reaches the task.
    CallbackNeverArrives,
    /// The process dies right before the step.
    KilledBeforeTheEffect,
    /// The process dies in the step, when what it asked of the cloud is done and not answered.
    KilledInTheMiddle,
    /// The process dies right after the step.
    KilledAfterTheEffect,
    /// The instance goes off without having been sealed.
    InstanceDies,
    /// Every step is delivered twice.
    DeliveredTwice,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::TransientUntilExhausted,
        Self::TransientTwice,
        Self::PermanentBeforeTheEffect,
        Self::PermanentAfterTheEffect,
        Self::TimedOutBeforeALateEffect,
        Self::TimedOutAlways,
        Self::AnswerLost,
        Self::CallbackLost,
        Self::CallbackNeverArrives,
        Self::KilledBeforeTheEffect,
        Self::KilledInTheMiddle,
        Self::KilledAfterTheEffect,
        Self::InstanceDies,
        Self::DeliveredTwice,
    ];

    /// Whether it is about the callback that a task waits for.
    pub fn needs_a_callback(self) -> bool {
        matches!(self, Self::CallbackLost | Self::CallbackNeverArrives)
    }
}

/// A fault and where it strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    /// The state machine of the Task.
    pub state_machine: String,
    /// The Task's state.
    pub state: String,
    /// How long the state waits for a first sign.
    pub patience: Duration,
    /// What goes wrong.
    pub fault: Fault,
}

/// What the faults do to the world around the steps.
pub trait Surroundings: Send + Sync {
    /// The process dies.
    fn kill(&self);
    /// The instances of this run go off.
    fn switch_off_instances(&self, run_id: &RunId);
    /// A step has run: agents may find work.
    fn step_has_run(&self);
}

#[derive(Debug, Default)]
struct Struck {
    run: Option<String>,
    times: u32,
    token: Option<String>,
    states: Vec<(String, String)>,
}

/// What becomes of the first answer to every token.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum FirstAnswers {
    /// They arrive.
    #[default]
    Arrive,
    /// They are taken, and nobody hears them.
    AreLost,
    /// The workflow engine cannot be reached.
    AreRefused,
}

#[derive(Debug, Default)]
struct Answers {
    first: FirstAnswers,
    tokens: BTreeSet<String>,
    failures: Vec<String>,
}

/// Carries out a strike. It strikes one run only: the first that comes to the state.
#[derive(Default)]
pub struct Faults {
    strike: Mutex<Option<Strike>>,
    struck: Mutex<Struck>,
    late: AtomicUsize,
    answers: Mutex<Answers>,
    surroundings: Mutex<Option<Arc<dyn Surroundings>>>,
}

impl Faults {
    /// Names the world around the steps.
    pub fn surround(&self, surroundings: Arc<dyn Surroundings>) {
        *self.surroundings.lock().unwrap_or_else(PoisonError::into_inner) = Some(surroundings);
    }

    /// Strikes from now on.
    pub fn arm(&self, strike: Strike) {
        *self.strike.lock().unwrap_or_else(PoisonError::into_inner) = Some(strike);
    }

    /// What becomes of the first answer to every token from now on.
    pub fn let_first_answers(&self, first: FirstAnswers) {
        self.answers().first = first;
    }

    /// How many tokens lost their first answer.
    pub fn first_answers_lost(&self) -> usize {
        self.answers().tokens.len()
    }

    /// The names of the errors that waiting Tasks were told, or were to be told.
    pub fn failures_told(&self) -> Vec<String> {
        self.answers().failures.clone()
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it has struck.
    pub fn times(&self) -> u32 {
        self.struck().times
    }

    /// Counts a strike that was carried out by somebody else.
    pub fn count(&self) {
        self.struck().times += 1;
    }

    /// What is to strike.
    pub fn strike(&self) -> Option<Strike> {
        self.strike.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many invocations that were given up are still to have their effect.
    pub fn late_effects(&self) -> usize {
        self.late.load(Ordering::SeqCst)
    }

    /// The steps that were invoked by their states: state machine and state, each once.
    pub fn invoked_states(&self) -> Vec<(String, String)> {
        self.struck().states.clone()
    }

    fn struck(&self) -> std::sync::MutexGuard<'_, Struck> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn surroundings(&self) -> Arc<dyn Surroundings> {
        let surroundings = self.surroundings.lock().unwrap_or_else(PoisonError::into_inner);
        surroundings.clone().expect("the faults have surroundings")
    }

    /// Puts down that a state was reached, and says what strikes it, and for which time.
    fn meet(&self, invocation: &Invocation) -> Option<(Strike, u32)> {
        let machine = invocation.state_machine.split('/').next().unwrap_or_default().to_owned();
        let strike = self.strike();
        let mut struck = self.struck();
        let place = (machine.clone(), invocation.state.clone());
        if !struck.states.contains(&place) {
            struck.states.push(place);
        }
        let strike =
            strike.filter(|strike| strike.state_machine == machine && strike.state == invocation.state)?;
        let run = run_of(&invocation.payload)?;
        if struck.run.as_ref().is_some_and(|first| *first != run) {
            return None;
        }
        struck.run = Some(run);
        struck.times += 1;
        if let (1, Some(token)) = (struck.times, invocation.payload["task_token"].as_str()) {
            struck.token = Some(token.to_owned());
        }
        Some((strike, struck.times))
    }
}

/// The run that an invocation is about.
pub fn run_of(payload: &Value) -> Option<String> {
    let run = payload.pointer("/run_id").or_else(|| payload.pointer("/plan/run_id"));
    run.and_then(Value::as_str).map(str::to_owned)
}

fn error(name: &str, cause: &str) -> TaskError {
    TaskError::new(name, cause)
}

/// Invocations with faults.
pub struct FaultyInvoker {
    /// What strikes.
    pub faults: Arc<Faults>,
    /// Runs the steps.
    pub inner: Arc<dyn TaskInvoker>,
    /// An engine that is told all the time that the work behind every token goes on: it never fires a heartbeat
    /// time-out, as some engines never do.
    pub never_silent: Option<Arc<OnceLock<Arc<dyn Workflow>>>>,
}

/// How often an engine that must not fire a heartbeat time-out is told that the work goes on.
const PULSE: Duration = Duration::from_secs(30);

impl FaultyInvoker {
    fn keep_alive(&self, invocation: &Invocation) {
        let Some(workflow) = self.never_silent.clone() else { return };
        let Some(token) = invocation.payload["task_token"].as_str().map(str::to_owned) else { return };
        tokio::spawn(async move {
            while let Some(workflow) = workflow.get() {
                tokio::time::sleep(PULSE).await;
                if workflow.send_task_heartbeat(&token).await.is_err() {
                    break;
                }
            }
        });
    }

    async fn run(&self, invocation: Invocation) -> Result<Value, TaskError> {
        let answer = self.inner.invoke(invocation).await;
        self.faults.surroundings().step_has_run();
        answer
    }

    async fn die(&self) -> Result<Value, TaskError> {
        self.faults.surroundings().kill();
        std::future::pending().await
    }

    /// The state has given up when the step begins.
    async fn come_late(&self, invocation: Invocation, delay: Duration) -> Result<Value, TaskError> {
        let (faults, inner) = (self.faults.clone(), self.inner.clone());
        faults.late.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // What it answers is nobody's business any more.
            let _ = inner.invoke(invocation).await;
            faults.surroundings().step_has_run();
            faults.late.fetch_sub(1, Ordering::SeqCst);
        });
        std::future::pending().await
    }

    async fn strike(&self, strike: &Strike, time: u32, invocation: Invocation) -> Result<Value, TaskError> {
        let transient = || error("Step.Transient", "a connection was lost");
        match (strike.fault, time) {
            (Fault::TransientUntilExhausted, _) | (Fault::TransientTwice, 1 | 2) => Err(transient()),
            (Fault::PermanentBeforeTheEffect, 1) => Err(error("Step.Permanent", "it was refused")),
            (Fault::PermanentAfterTheEffect, 1) => {
                self.run(invocation).await?;
                Err(error("Step.PermanentDirty", "it was refused half-way"))
            }
            (Fault::TimedOutBeforeALateEffect, 1) => {
                self.come_late(invocation, strike.patience + Duration::from_secs(1)).await
            }
            (Fault::TimedOutAlways, _) => self.come_late(invocation, strike.patience + MUCH_LATER).await,
            (Fault::AnswerLost, 1) => {
                self.run(invocation).await?;
                Err(error("Lambda.Unknown", "the function died before it answered"))
            }
            (Fault::CallbackNeverArrives, 1) => {
                let mut deaf = invocation;
                deaf.payload["task_token"] = Value::from("nobody waits under this token");
                self.run(deaf).await
            }
            (Fault::KilledBeforeTheEffect, 1) => self.die().await,
            (Fault::KilledInTheMiddle, 1) => {
                // What the step asks of the cloud has its effect after half of the call.
                let _ = tokio::time::timeout(Duration::from_millis(150), self.inner.invoke(invocation)).await;
                self.die().await
            }
            (Fault::KilledAfterTheEffect, 1) => {
                let _ = self.inner.invoke(invocation).await;
                self.die().await
            }
            (Fault::InstanceDies, 1) => {
                let run = run_of(&invocation.payload);
                let answer = self.inner.invoke(invocation).await;
                let run = run.and_then(|run| RunId::parse(&run).ok());
                run.iter().for_each(|run| self.faults.surroundings().switch_off_instances(run));
                self.faults.surroundings().step_has_run();
                answer
            }
            (Fault::DeliveredTwice, _) => {
                let (first, second) = futures::join!(
                    self.inner.invoke(invocation.clone()),
                    self.inner.invoke(invocation.clone())
                );
                let third = self.run(invocation).await;
                third.or(first).or(second)
            }
            _ => self.run(invocation).await,
        }
    }
}

#[async_trait]
impl TaskInvoker for FaultyInvoker {
    async fn invoke(&self, invocation: Invocation) -> Result<Value, TaskError> {
        self.keep_alive(&invocation);
        match self.faults.meet(&invocation) {
            Some((strike, time)) => self.strike(&strike, time, invocation).await,
            None => self.run(invocation).await,
        }
    }
}

/// State machines and names of executions that have ended.
pub type Ended = Arc<Mutex<BTreeSet<(String, String)>>>;

/// The runner, as everybody but itself sees it, with answers that are lost on the way.
pub struct LossyWorkflow {
    /// What strikes.
    pub faults: Arc<Faults>,
    /// The runner.
    pub inner: Arc<dyn Workflow>,
    /// Executions of processes that are gone, where the engine outlives them: state machine and name.
    pub ended: Ended,
}

impl LossyWorkflow {
    /// What becomes of an answer instead of its arrival; none for one that arrives.
    fn fate(&self, token: &str) -> Option<Result<(), CallbackError>> {
        let mut answers = self.faults.answers();
        let fate = match answers.first {
            FirstAnswers::Arrive => None,
            FirstAnswers::AreLost => Some(Ok(())),
            FirstAnswers::AreRefused => Some(Err(CallbackError::Unavailable("no connection".to_owned()))),
        };
        if fate.is_some() && answers.tokens.insert(token.to_owned()) {
            return fate;
        }
        drop(answers);
        self.loses(token).then_some(Ok(()))
    }

    /// Whether this answer is lost: the first one to the token that was struck.
    fn loses(&self, token: &str) -> bool {
        if self.faults.strike().is_none_or(|strike| strike.fault != Fault::CallbackLost) {
            return false;
        }
        let mut struck = self.faults.struck();
        let is_lost = struck.token.as_deref() == Some(token);
        if is_lost {
            struck.token = None;
        }
        is_lost
    }
}

impl LossyWorkflow {
    fn has_ended(&self, state_machine: &str, name: &str) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.contains(&(state_machine.to_owned(), name.to_owned()))
    }
}

#[async_trait]
impl Workflow for LossyWorkflow {
    async fn start_execution(&self, state_machine: &str, name: &str, input: Value) -> Result<(), StartError> {
        if self.has_ended(state_machine, name) {
            return Err(StartError::AlreadyExists(name.to_owned()));
        }
        self.inner.start_execution(state_machine, name, input).await
    }

    async fn describe_execution(
        &self,
        state_machine: &str,
        name: &str,
    ) -> Result<ExecutionState, StartError> {
        if self.has_ended(state_machine, name) {
            return Ok(ExecutionState::Terminal);
        }
        self.inner.describe_execution(state_machine, name).await
    }

    async fn stop_execution(&self, state_machine: &str, name: &str, cause: &str) -> Result<(), StartError> {
        self.inner.stop_execution(state_machine, name, cause).await
    }

    async fn send_task_success(&self, token: &str, output: Value) -> Result<(), CallbackError> {
        if let Some(fate) = self.fate(token) {
            return fate;
        }
        self.inner.send_task_success(token, output).await
    }

    async fn send_task_failure(&self, token: &str, error: &str, cause: &str) -> Result<(), CallbackError> {
        self.faults.answers().failures.push(error.to_owned());
        if let Some(fate) = self.fate(token) {
            return fate;
        }
        self.inner.send_task_failure(token, error, cause).await
    }

    async fn send_task_heartbeat(&self, token: &str) -> Result<(), CallbackError> {
        self.inner.send_task_heartbeat(token).await
    }
}
