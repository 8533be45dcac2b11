//! Brings the builder to the current configuration revision (the BSCI replication process).

use async_trait::async_trait;
use rekindle_cmdb::TaskToken;
use rekindle_domain::{Bytes, InstanceId, JobId, JobWork, RefreshPlan};
use rekindle_instances::{AgentJobs, Assignment};
use rekindle_step::{Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The step.
pub struct UpdateConfiguration {
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
impl Step for UpdateConfiguration {
    const NAME: &'static str = "update-configuration";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let plan = input.plan;
        let Some(revision) = plan.update_configuration_to else {
            return Err(StepError::permanent(
                "the plan asks for no configuration, so there is none to update to",
            ));
        };
        let assignment = Assignment {
            id: JobId { run_id: plan.run_id, machine: plan.machine, step: Self::NAME.to_owned() },
            work: JobWork::UpdateConfiguration { revision },
            instance_id: input.instance_id,
            stored: Bytes(0),
            task_token: input.task_token,
        };
        self.jobs.assign(assignment).await?;
        Ok(Output {})
    }
}
