//! Invokes steps for the runner, as Lambda does: a step whose state gave up on it runs on, a panic is an error with a
//! name, and every invocation leaves a record for the report.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use rekindle_cmdb::Register;
use rekindle_domain::report::StepRecord;
use rekindle_domain::{MachineKey, RunId};
use rekindle_flow::{Invocation, TaskError, TaskInvoker};
use rekindle_step::{Clock, StepContext, StepError};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::functions::Functions;

/// The error under which Step Functions reports that a function died without an answer.
const DIED: &str = "Lambda.Unknown";

/// Runs steps.
pub struct StepInvoker {
    functions: Functions,
    register: Register,
    clock: Arc<dyn Clock>,
    running: Mutex<JoinSet<()>>,
}

impl StepInvoker {
    /// With the steps and the register that keeps their records.
    pub fn new(functions: Functions, register: Register, clock: Arc<dyn Clock>) -> Self {
        Self { functions, register, clock, running: Mutex::new(JoinSet::new()) }
    }

    /// Stops every step where it stands.
    pub fn kill(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Runs the step in a task of its own, so that it goes on when its state has given up, and a panic ends only it.
    async fn run_apart(&self, invocation: Invocation) -> Result<Value, TaskError> {
        let Some(step) = self.functions.get(&invocation.function_name) else {
            let cause = format!("there is no function {}", invocation.function_name);
            return Err(TaskError::new("Lambda.ResourceNotFoundException", cause));
        };
        let context = StepContext { state: invocation.state.clone(), retry_count: invocation.retry_count };
        let (answer, answered) = tokio::sync::oneshot::channel();
        let payload = invocation.payload;
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            while running.try_join_next().is_some() {}
            running.spawn(async move {
                // Nobody may be waiting any more; the effect counts, not the answer.
                let _ = answer.send(step.invoke(payload, &context).await);
            });
        }
        match answered.await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => Err(named(&error)),
            Err(_dropped) => Err(TaskError::new(DIED, "the function died before it answered")),
        }
    }

    async fn record(
        &self,
        subject: Subject,
        state: String,
        started_at: Timestamp,
        error: Option<&TaskError>,
    ) {
        let Some(run_id) = subject.run_id else { return };
        let record = StepRecord {
            name: state,
            machine: subject.machine,
            started_at,
            finished_at: Some(self.clock.now()),
            error: error.map(|error| error.error.clone()),
            detail: error.map(|error| error.cause.clone()),
        };
        // The record is for people; the run does not fail for the want of it.
        if let Err(error) = self.register.record_step(&run_id, &record).await {
            tracing::warn!(%run_id, state = record.name, %error, "a step was not recorded");
        }
    }
}

fn named(error: &StepError) -> TaskError {
    TaskError::new(error.name.as_str(), error.chain())
}

#[async_trait]
impl TaskInvoker for StepInvoker {
    async fn invoke(&self, invocation: Invocation) -> Result<Value, TaskError> {
        let subject = Subject::of(&invocation.payload);
        let state = invocation.state.clone();
        let started_at = self.clock.now();
        let result = self.run_apart(invocation).await;
        self.record(subject, state, started_at, result.as_ref().err()).await;
        result
    }
}

/// What an invocation is about, as far as its payload says.
struct Subject {
    run_id: Option<RunId>,
    machine: Option<MachineKey>,
}

impl Subject {
    fn of(payload: &Value) -> Self {
        let run_id = payload.pointer("/run_id").or_else(|| payload.pointer("/plan/run_id"));
        let machine = payload.pointer("/machine").or_else(|| payload.pointer("/plan/machine"));
        Self {
            run_id: run_id.and_then(Value::as_str).and_then(|text| RunId::parse(text).ok()),
            machine: machine.and_then(|machine| serde_json::from_value(machine.clone()).ok()),
        }
    }
}
