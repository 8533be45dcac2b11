//! The record that every invocation leaves for the report.

use std::sync::Arc;

use jiff::Timestamp;
use rekindle_cmdb::Register;
use rekindle_domain::report::StepRecord;
use rekindle_step::Clock;

use crate::answer::Failure;
use crate::envelope::{Envelope, Subject};

/// Writes records.
#[derive(Clone)]
pub struct Recorder {
    register: Register,
    clock: Arc<dyn Clock>,
}

/// An invocation whose record is still to be written.
#[derive(Debug)]
pub struct Begun {
    subject: Subject,
    state: String,
    started_at: Timestamp,
}

impl Recorder {
    /// Writes into this register.
    pub fn new(register: Register, clock: Arc<dyn Clock>) -> Self {
        Self { register, clock }
    }

    /// Notes when the invocation began.
    pub fn begin(&self, envelope: &Envelope) -> Begun {
        Begun {
            subject: envelope.subject.clone(),
            state: envelope.state.clone(),
            started_at: self.clock.now(),
        }
    }

    /// Writes the record of an invocation that belongs to a run. It is for people: where it cannot be written, that is
    /// said in the log, and the run goes on.
    pub async fn finish(&self, begun: Begun, failure: Option<&Failure>) {
        let Some(run_id) = begun.subject.run_id else { return };
        let record = StepRecord {
            name: begun.state,
            machine: begun.subject.machine,
            started_at: begun.started_at,
            finished_at: Some(self.clock.now()),
            error: failure.map(|failure| failure.error.clone()),
            detail: failure.map(|failure| failure.cause.clone()),
        };
        if let Err(error) = self.register.record_step(&run_id, &record).await {
            tracing::warn!(%run_id, state = record.name, %error, "a step was not recorded");
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recorder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]
    use rekindle_cmdb::EmbeddedRegister;
    use rekindle_domain::RunId;
    use rekindle_step::SystemClock;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_invocation_of_a_run_is_recorded_and_another_is_not() {
        let register = EmbeddedRegister::in_memory().await.unwrap();
        let recorder = Recorder::new(register.clone(), Arc::new(SystemClock));
        let run_id = RunId::mint();
        let envelope = Envelope::open(json!({ "state": "Verify", "run_id": run_id }), "verify");
        let failure = Failure { error: "Step.Permanent".to_owned(), cause: "it rained".to_owned() };
        recorder.finish(recorder.begin(&envelope), Some(&failure)).await;
        recorder.finish(recorder.begin(&Envelope::open(json!({}), "sweep")), None).await;
        let records = register.steps(&run_id).await.unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].name, "Verify");
        assert_eq!(records[0].error.as_deref(), Some("Step.Permanent"));
        assert_eq!(records[0].detail.as_deref(), Some("it rained"));
    }
}
