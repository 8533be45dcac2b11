//! A person's decision on a recovery, and how the waiting state is told.

use rekindle_cmdb::{Register, TaskToken};
use rekindle_domain::{Decision, Digest, HumanTask, HumanTaskId, PlanId, RunId};
use rekindle_step::{CallbackError, ErrorName, StepError, Workflow};

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

/// Tells the waiting state what was decided. A state that does not wait any more is no error.
///
/// # Errors
/// When the workflow engine cannot be reached: the sweep tells it again.
pub async fn answer(
    workflow: &dyn Workflow,
    token: &TaskToken,
    decision: &Decision,
) -> Result<(), StepError> {
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
