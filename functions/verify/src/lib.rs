//! Has the agent prove that what it restored is this set and no older one: engine position, heartbeat, probes.
//!
//! Whether the verdict passes is decided by the orchestrator, from the facts, and never by the agent.

use async_trait::async_trait;
use rekindle_cmdb::Register;
use rekindle_domain::{BackupId, Bytes, JobWork, RefreshPlan};
use rekindle_instances::{AgentJobs, BuilderTask};
use rekindle_step::{Step, StepContext, StepError};
use serde::Serialize;

/// The step.
pub struct Verify {
    /// Knows what the parent image holds.
    pub register: Register,
    /// Gives jobs.
    pub jobs: AgentJobs,
}

/// Nothing: the result comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {}

#[async_trait]
impl Step for Verify {
    const NAME: &'static str = "verify";
    type Input = BuilderTask;
    type Output = Output;

    async fn run(&self, input: BuilderTask, _context: &StepContext) -> Result<Output, StepError> {
        let backup_id = self.newest_set(&input.plan).await?;
        let set = self.register.set(&input.plan.machine, &backup_id).await.map_err(StepError::from)?;
        let stored = set.map_or(Bytes(0), |record| record.set.stored_bytes());
        let assignment = input.assignment(Self::NAME, JobWork::Verify { backup_id }, stored);
        self.jobs.assign(assignment).await?;
        Ok(Output {})
    }
}

impl Verify {
    /// The last set of the plan; where only the configuration changed, the one inside the parent image.
    async fn newest_set(&self, plan: &RefreshPlan) -> Result<BackupId, StepError> {
        if let Some(backup_id) = plan.sets.last() {
            return Ok(backup_id.clone());
        }
        let parent =
            self.register.image(&plan.machine, &plan.parent_image_id).await.map_err(StepError::from)?;
        parent.map(|image| image.backup_id).ok_or_else(|| {
            StepError::permanent("the plan restores nothing, and its parent image is not registered")
        })
    }
}
