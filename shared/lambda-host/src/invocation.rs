//! One invocation of a step by Lambda.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use lambda_runtime::{Diagnostic, LambdaEvent};
use rekindle_step::{DynamicStep, ErrorName, StepContext, StepError};
use rekindle_step_host::{Envelope, Failure, Recorder, answer};
use serde_json::Value;
use tracing::{Instrument, Span};

/// Answers the invocations of one step.
pub(crate) struct Invocations {
    step: Arc<dyn DynamicStep>,
    recorder: Recorder,
}

/// What Lambda is answered when the step has failed.
pub(crate) struct Refusal(Failure);

impl Invocations {
    pub(crate) fn new(step: Arc<dyn DynamicStep>, recorder: Recorder) -> Self {
        Self { step, recorder }
    }

    /// Runs the step and records it.
    pub(crate) async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Refusal> {
        let envelope = Envelope::open(event.payload, self.step.name());
        let span = span(self.step.name(), &event.context.request_id, &envelope);
        self.run(envelope).instrument(span).await.map_err(Refusal)
    }

    async fn run(&self, envelope: Envelope) -> Result<Value, Failure> {
        let begun = self.recorder.begin(&envelope);
        let started = Instant::now();
        let context = StepContext { state: envelope.state };
        let result = answer(self.step.as_ref(), envelope.payload, &context).await;
        tell(result.as_ref().err(), started);
        let result = result.map_err(|error| Failure::from(&error));
        self.recorder.finish(begun, result.as_ref().err()).await;
        result
    }
}

/// At the level of errors, so that no filter takes it from the lines that it belongs to.
fn span(function: &str, request_id: &str, envelope: &Envelope) -> Span {
    let subject = &envelope.subject;
    tracing::error_span!(
        "invocation",
        function,
        request_id,
        state = envelope.state,
        run_id = subject.run_id.as_ref().map(tracing::field::display),
        machine = subject.machine.as_ref().map(tracing::field::display),
    )
}

fn tell(error: Option<&StepError>, started: Instant) {
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Some(error) = error else {
        tracing::info!(milliseconds, "answered");
        return;
    };
    let cause = Failure::from(error).cause;
    match error.name {
        ErrorName::PermanentDirty => tracing::error!(milliseconds, error = %error.name, cause, "failed"),
        _ => tracing::warn!(milliseconds, error = %error.name, cause, "failed"),
    }
}

/// Lambda reports `errorType` and `errorMessage`; a state machine matches the first and shows the second (AWS,
/// "Handling errors in Step Functions workflows").
impl From<Refusal> for Diagnostic {
    fn from(Refusal(failure): Refusal) -> Self {
        Self { error_type: failure.error, error_message: failure.cause }
    }
}

/// The name only: `lambda_runtime` prints it.
impl fmt::Debug for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.error)
    }
}

#[cfg(test)]
mod tests;
