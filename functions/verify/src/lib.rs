//! Has the agent prove that what it restored is this set and no older one: engine position, heartbeat, probes.
//!
//! Whether the verdict passes is decided by the orchestrator, from the facts, and never by the agent.

use async_trait::async_trait;
use rekindle_cmdb::{Register, TaskToken};
use rekindle_domain::{BackupId, Bytes, InstanceId, JobId, JobWork, RefreshPlan};
use rekindle_instances::{AgentJobs, Assignment};
use rekindle_step::{Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The step.
pub struct Verify {
    /// Knows what the parent image holds.
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
impl Step for Verify {
    const NAME: &'static str = "verify";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let plan = input.plan;
        let backup_id = self.newest_set(&plan).await?;
        let set = self.register.set(&plan.machine, &backup_id).await.map_err(StepError::from)?;
        let assignment = Assignment {
            id: JobId { run_id: plan.run_id, machine: plan.machine, step: Self::NAME.to_owned() },
            work: JobWork::Verify { backup_id },
            instance_id: input.instance_id,
            stored: set.map_or(Bytes(0), |record| record.set.stored_bytes()),
            task_token: input.task_token,
        };
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
