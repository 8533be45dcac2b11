//! Asks a person whether a recovery plan may be carried out, unless the customer's policy has said so beforehand.
//!
//! The question is bound to the plan's digest. Who asks for the recovery cannot approve it. Silence until the deadline
//! means no. An approval that policy gave beforehand is recorded as the policy's, and never as a person's.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rekindle_cmdb::{Register, TaskToken};
use rekindle_domain::{
    Decision, Digest, HumanTask, HumanTaskId, HumanTaskStatus, PlanId, RecoveryKind, RecoveryPlan, RunId,
    Seconds,
};
use rekindle_step::{CallbackError, Clock, ErrorName, Step, StepContext, StepError, Workflow};
use serde::{Deserialize, Serialize};

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

/// The human task of a recovery's approval; asked once.
pub fn approval_task(run_id: &RunId, plan_id: &PlanId) -> HumanTaskId {
    Digest::of(format!("approval of plan {plan_id} of run {run_id}").as_bytes())
}

/// Records a decision and tells the waiting state. Doing it twice is harmless: the first decision stays.
///
/// # Errors
/// When the task is unknown, decided already, past its deadline, or when the decider is the one who asked.
pub async fn decide(
    register: &Register,
    workflow: &dyn Workflow,
    task: &HumanTaskId,
    decision: &Decision,
) -> Result<HumanTask, StepError> {
    let (task, token) = register.decide(task, decision).await.map_err(StepError::from)?;
    if let (Some(token), Some(decision)) = (token, &task.decision) {
        answer(workflow, &token, decision).await?;
    }
    Ok(task)
}

async fn answer(workflow: &dyn Workflow, token: &TaskToken, decision: &Decision) -> Result<(), StepError> {
    let told = if decision.approved {
        let output = serde_json::json!({ "decided_by": decision.decided_by });
        workflow.send_task_success(token.as_str(), output).await
    } else {
        let comment = decision.comment.as_deref().unwrap_or("no reason was given");
        let cause = format!("{} declined the recovery: {comment}", decision.decided_by);
        workflow.send_task_failure(token.as_str(), ErrorName::Declined.as_str(), &cause).await
    };
    match told {
        Ok(()) | Err(CallbackError::Gone) => Ok(()),
        Err(error) => Err(StepError::transient("the decision could not be delivered").because(error)),
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
    HumanTask {
        human_task_id: approval_task(&input.run_id, &input.plan_id),
        run_id: input.run_id.clone(),
        question: format!(
            "May {machines} replicas be started for {kind}, as {} asked ({}), with a predicted recovery time of {} and \
             data up to {} old?",
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
