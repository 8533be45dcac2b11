//! Invokes steps for the runner, as Lambda does: a step whose state gave up on it runs on, a panic is an error with a
//! name, and every invocation leaves a record for the report.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rekindle_flow::{Invocation, TaskError, TaskInvoker};
use rekindle_step::{DynamicStep, StepContext};
use rekindle_step_host::{Envelope, Failure, Recorder, answer};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::functions::Functions;

/// The error under which Step Functions reports that a function died without an answer.
const DIED: &str = "Lambda.Unknown";

/// Runs steps.
pub struct StepInvoker {
    functions: Functions,
    recorder: Recorder,
    running: Mutex<JoinSet<()>>,
}

impl StepInvoker {
    /// With the steps and whoever records them.
    pub fn new(functions: Functions, recorder: Recorder) -> Self {
        Self { functions, recorder, running: Mutex::new(JoinSet::new()) }
    }

    /// Stops every step where it stands.
    pub fn kill(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Runs the step in a task of its own, so that it goes on when its state has given up.
    async fn run_apart(
        &self,
        step: Arc<dyn DynamicStep>,
        payload: Value,
        context: StepContext,
    ) -> Result<Value, Failure> {
        let (sender, answered) = tokio::sync::oneshot::channel();
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            while running.try_join_next().is_some() {}
            running.spawn(async move {
                // Nobody may be waiting any more; the effect counts, not the answer.
                let _ = sender.send(answer(step.as_ref(), payload, &context).await);
            });
        }
        match answered.await {
            Ok(answer) => answer.map_err(|error| Failure::from(&error)),
            Err(_dropped) => Err(Failure {
                error: DIED.to_owned(),
                cause: "the function died before it answered".to_owned(),
            }),
        }
    }
}

#[async_trait]
impl TaskInvoker for StepInvoker {
    async fn invoke(&self, invocation: Invocation) -> Result<Value, TaskError> {
        let Some(step) = self.functions.get(&invocation.function_name) else {
            let cause = format!("there is no function {}", invocation.function_name);
            return Err(TaskError::new("Lambda.ResourceNotFoundException", cause));
        };
        let envelope = Envelope::open(invocation.payload, step.name());
        let begun = self.recorder.begin(&envelope);
        let context = StepContext { state: envelope.state };
        let result = self.run_apart(step, envelope.payload, context).await;
        self.recorder.finish(begun, result.as_ref().err()).await;
        result.map_err(|failure| TaskError::new(failure.error, failure.cause))
    }
}
