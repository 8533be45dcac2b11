//! Brings the builder to the current configuration revision (the BSCI replication process).

use async_trait::async_trait;
use rekindle_domain::{Bytes, JobWork};
use rekindle_instances::{AgentJobs, BuilderTask};
use rekindle_step::{Step, StepContext, StepError};
use serde::Serialize;

/// The step.
pub struct UpdateConfiguration {
    /// Gives jobs.
    pub jobs: AgentJobs,
}

/// Nothing: the result comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {}

#[async_trait]
impl Step for UpdateConfiguration {
    const NAME: &'static str = "update-configuration";
    type Input = BuilderTask;
    type Output = Output;

    async fn run(&self, input: BuilderTask, _context: &StepContext) -> Result<Output, StepError> {
        let Some(revision) = input.plan.update_configuration_to.clone() else {
            return Err(StepError::permanent(
                "the plan asks for no configuration, so there is none to update to",
            ));
        };
        let work = JobWork::UpdateConfiguration { revision };
        let assignment = input.assignment(Self::NAME, work, Bytes(0));
        self.jobs.assign(assignment).await?;
        Ok(Output {})
    }
}
