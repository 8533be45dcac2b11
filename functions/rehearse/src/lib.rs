//! A rehearsal is due: starts the recovery as a rehearsal. EventBridge Scheduler calls it, at least once (AWS, "What is
//! Amazon EventBridge Scheduler?"): the same schedule at the same time is the same run.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rekindle_domain::{CustomerId, RecoveryKind, RunId, ServiceId};
use rekindle_requests::recovery::{Request, start_recovery};
use rekindle_step::{Clock, Step, StepContext, StepError, Workflow};
use serde::{Deserialize, Serialize};

/// The step.
pub struct Rehearse {
    /// Runs the rehearsal.
    pub workflow: Arc<dyn Workflow>,
    /// The time, from which the rehearsal is measured.
    pub clock: Arc<dyn Clock>,
}

/// What the schedule passes. Scheduler replaces `<aws.scheduler.schedule-arn>` and `<aws.scheduler.scheduled-time>` in
/// it (AWS, "Adding context attributes in Amazon EventBridge Scheduler").
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Whose services.
    pub customer_id: CustomerId,
    /// Which services; empty means all of the customer.
    #[serde(default)]
    pub services: Vec<ServiceId>,
    /// In the customer's own words.
    #[serde(default)]
    pub reason: Option<String>,
    /// The schedule's name or ARN.
    pub schedule: String,
    /// When it was due.
    pub scheduled_time: Timestamp,
}

/// What was started.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Output {
    /// The rehearsal.
    pub run_id: RunId,
}

#[async_trait]
impl Step for Rehearse {
    const NAME: &'static str = "rehearse";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let run_id = run_of(&input);
        start_recovery(self.workflow.as_ref(), &run_id, &request(input, self.clock.now())).await?;
        Ok(Output { run_id })
    }
}

fn request(input: Input, now: Timestamp) -> Request {
    let name = schedule_name(&input.schedule);
    Request {
        kind: RecoveryKind::Rehearsal,
        customer_id: input.customer_id,
        services: input.services,
        requested_by: format!("schedule:{name}"),
        reason: input.reason.unwrap_or_else(|| format!("the schedule {name} is due")),
        declared_at: now,
        at_or_before: None,
        target: None,
    }
}

/// The last part of `arn:aws:scheduler:<region>:<account>:schedule/<group>/<name>`.
fn schedule_name(schedule: &str) -> &str {
    schedule.rsplit('/').next().unwrap_or(schedule)
}

fn run_of(input: &Input) -> RunId {
    let identity = format!("rehearsal of {} at {}", input.schedule, input.scheduled_time);
    RunId::of_event(input.scheduled_time, &identity)
}

#[cfg(test)]
mod tests;
