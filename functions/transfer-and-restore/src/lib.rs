//! Has the agent in the builder pull, check, decrypt and apply the planned sets onto what the image holds.
//!
//! Only ids pass through here: the data goes from the store to the instance, and the orchestrator never sees it.

use async_trait::async_trait;
use rekindle_cmdb::Register;
use rekindle_domain::{Bytes, JobWork, RefreshPlan};
use rekindle_instances::{AgentJobs, BuilderTask};
use rekindle_step::{Step, StepContext, StepError};
use serde::Serialize;

/// The step.
pub struct TransferAndRestore {
    /// Knows the sizes of the sets.
    pub register: Register,
    /// Gives jobs.
    pub jobs: AgentJobs,
}

/// Nothing: the result comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {}

#[async_trait]
impl Step for TransferAndRestore {
    const NAME: &'static str = "transfer-and-restore";
    type Input = BuilderTask;
    type Output = Output;

    async fn run(&self, input: BuilderTask, _context: &StepContext) -> Result<Output, StepError> {
        let stored = stored_bytes(&self.register, &input.plan).await?;
        let work = JobWork::TransferAndRestore { sets: input.plan.sets.clone(), applied: input.plan.applied };
        let assignment = input.assignment(Self::NAME, work, stored);
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
