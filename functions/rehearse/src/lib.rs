//! A rehearsal is due: starts the recovery as a rehearsal. EventBridge Scheduler calls it, at least once (AWS, "What is
//! Amazon EventBridge Scheduler?"): the same schedule at the same time is the same run.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rekindle_domain::{CustomerId, Digest, Flow, RecoveryKind, RunId, ServiceId};
use rekindle_requests::recovery::Request;
use rekindle_step::{Clock, StartError, Step, StepContext, StepError, Workflow};
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
        let run_id = run_of(&input)?;
        let request = serde_json::to_value(request(input, self.clock.now()))
            .map_err(|error| StepError::permanent("the request cannot be written as JSON").because(error))?;
        let machine = Flow::Recover.state_machine();
        match self.workflow.start_execution(machine, run_id.as_str(), request).await {
            Ok(()) | Err(StartError::AlreadyExists(_)) => Ok(Output { run_id }),
            Err(error) => Err(StepError::transient("the rehearsal could not be started").because(error)),
        }
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

fn run_of(input: &Input) -> Result<RunId, StepError> {
    let identity = format!("rehearsal of {} at {}", input.schedule, input.scheduled_time);
    let digest = Digest::of(identity.as_bytes());
    let digits = digest.as_str().get(..20).unwrap_or_default();
    let random = u128::from_str_radix(digits, 16).unwrap_or_default();
    let time = u64::try_from(input.scheduled_time.as_millisecond()).unwrap_or(0);
    RunId::parse(&ulid::Ulid::from_parts(time, random).to_string())
        .map_err(|error| StepError::permanent("no run id can be made of the schedule").because(error))
}

#[cfg(test)]
mod tests;
