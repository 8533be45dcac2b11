//! Asks a person whether a recovery plan may be carried out, unless the customer's policy has said so beforehand.
//!
//! The question is bound to the plan's digest. Who asks for the recovery cannot approve it. Silence until the deadline
//! means no. An approval that policy gave beforehand is recorded as the policy's, and never as a person's.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rekindle_cmdb::{Register, TaskToken};
use rekindle_domain::{
    Decision, HumanTask, HumanTaskStatus, PlanId, RecoveryKind, RecoveryPlan, RunId, Seconds,
};
use rekindle_step::{Clock, ErrorName, Step, StepContext, StepError, Workflow};
use serde::{Deserialize, Serialize};

use rekindle_requests::approval::{answer, approval_task, decide};

/// The step.
pub struct RequestApproval {
    /// Holds plans and human tasks.
    pub register: Register,
    /// Is answered with the decision.
    pub workflow: Arc<dyn Workflow>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the state machine passes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The recovery.
    pub run_id: RunId,
    /// What is to be decided on.
    pub plan_id: PlanId,
    /// By which the waiting state is answered.
    pub task_token: TaskToken,
}

/// Nothing: the decision comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {}

#[async_trait]
impl Step for RequestApproval {
    const NAME: &'static str = "request-approval";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let plan = self.register.plan(&input.plan_id).await.map_err(StepError::from)?.ok_or_else(|| {
            StepError::new(ErrorName::PlanChanged, "the plan that is to be approved is not in the register")
        })?;
        let task = question(&input, &plan, self.clock.now());
        let asked =
            self.register.ask(&task, Some(input.task_token.as_str())).await.map_err(StepError::from)?;
        match asked.decision {
            Some(decision) => self.answer(&input.task_token, &decision).await?,
            None if is_approved_beforehand(&plan) => {
                let decision = policy_decision(&plan, self.clock.now());
                decide(&self.register, self.workflow.as_ref(), &asked.human_task_id, &decision).await?;
            }
            None => {}
        }
        Ok(Output {})
    }
}

impl RequestApproval {
    async fn answer(&self, token: &TaskToken, decision: &Decision) -> Result<(), StepError> {
        answer(self.workflow.as_ref(), token, decision).await
    }
}

fn is_approved_beforehand(plan: &RecoveryPlan) -> bool {
    plan.approval.approved_beforehand.contains(&plan.kind)
}

fn policy_decision(plan: &RecoveryPlan, now: Timestamp) -> Decision {
    Decision {
        approved: true,
        decided_by: format!("policy:{}", plan.approval.name),
        decided_at: now,
        comment: Some("approval was given beforehand by the customer's policy".to_owned()),
    }
}

fn question(input: &Input, plan: &RecoveryPlan, now: Timestamp) -> HumanTask {
    let kind = match plan.kind {
        RecoveryKind::Disaster => "the declared disaster",
        RecoveryKind::Rehearsal => "a rehearsal",
    };
    let machines = plan.machines().count();
    let warning = plan.warning.as_ref().map(|warning| format!(" {warning}")).unwrap_or_default();
    HumanTask {
        human_task_id: approval_task(&input.run_id, &input.plan_id),
        run_id: input.run_id.clone(),
        question: format!(
            "May {machines} replicas be started for {kind}, as {} asked ({}), with a predicted recovery time of {} and \
             data up to {} old?{warning}",
            plan.requested_by, plan.reason, plan.predicted_recovery_time, plan.predicted_recovery_point
        ),
        subject: Some(input.plan_id.clone()),
        requested_by: plan.requested_by.clone(),
        status: HumanTaskStatus::Ready,
        created_at: now,
        deadline: after(now, plan.approval.deadline),
        decision: None,
    }
}

fn after(now: Timestamp, span: Seconds) -> Timestamp {
    let span = SignedDuration::try_from_secs_f64(span.0).unwrap_or(SignedDuration::from_hours(1));
    now.checked_add(span).unwrap_or(Timestamp::MAX)
}
