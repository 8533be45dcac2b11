//! Has the agent in the builder pull, check, decrypt and apply the planned sets onto what the image holds.
//!
//! Only ids pass through here: the data goes from the store to the instance, and the orchestrator never sees it.

use async_trait::async_trait;
use rekindle_cmdb::{Register, TaskToken};
use rekindle_domain::{Bytes, InstanceId, JobId, JobWork, RefreshPlan};
use rekindle_instances::{AgentJobs, Assignment};
use rekindle_step::{Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The step.
pub struct TransferAndRestore {
    /// Knows the sizes of the sets.
    pub register: Register,
    /// Gives jobs.
    pub jobs: AgentJobs,
}

/// What the state machine passes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The work.
    pub plan: RefreshPlan,
    /// The builder.
    pub instance_id: InstanceId,
    /// By which the waiting state is answered.
    pub task_token: TaskToken,
}

/// Nothing: the result comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {}

#[async_trait]
impl Step for TransferAndRestore {
    const NAME: &'static str = "transfer-and-restore";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let plan = input.plan;
        let stored = stored_bytes(&self.register, &plan).await?;
        let assignment = Assignment {
            id: JobId { run_id: plan.run_id, machine: plan.machine, step: Self::NAME.to_owned() },
            work: JobWork::TransferAndRestore { sets: plan.sets, applied: plan.applied },
            instance_id: input.instance_id,
            stored,
            task_token: input.task_token,
        };
        self.jobs.assign(assignment).await?;
        Ok(Output {})
    }
}

async fn stored_bytes(register: &Register, plan: &RefreshPlan) -> Result<Bytes, StepError> {
    let mut stored = 0_u64;
    for backup_id in &plan.sets {
        let record = register.set(&plan.machine, backup_id).await.map_err(StepError::from)?;
        stored = stored.saturating_add(record.map_or(0, |record| record.set.stored_bytes().0));
    }
    Ok(Bytes(stored))
}
