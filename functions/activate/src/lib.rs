//! Has the replica's agent start the engines and programs for serving. Promotion happens here and nowhere before.

use async_trait::async_trait;
use rekindle_domain::JobWork;
use rekindle_instances::{AgentJobs, ReplicaTask};
use rekindle_step::{Step, StepContext, StepError};
use serde::Serialize;

/// The step.
pub struct Activate {
    /// Gives jobs.
    pub jobs: AgentJobs,
}

/// Nothing: the result comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {}

#[async_trait]
impl Step for Activate {
    const NAME: &'static str = "activate";
    type Input = ReplicaTask;
    type Output = Output;

    async fn run(&self, input: ReplicaTask, _context: &StepContext) -> Result<Output, StepError> {
        self.jobs.assign(input.assignment(Self::NAME, JobWork::Activate)).await?;
        Ok(Output {})
    }
}
