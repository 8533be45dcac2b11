//! Asks the replica through its application, and holds its data against what was proven when the image was made.

use async_trait::async_trait;
use rekindle_domain::JobWork;
use rekindle_instances::{AgentJobs, ReplicaTask};
use rekindle_step::{Step, StepContext, StepError};
use serde::Serialize;

/// The step.
pub struct CheckReplica {
    /// Gives jobs.
    pub jobs: AgentJobs,
}

/// Nothing: the result comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {}

#[async_trait]
impl Step for CheckReplica {
    const NAME: &'static str = "check-replica";
    type Input = ReplicaTask;
    type Output = Output;

    async fn run(&self, input: ReplicaTask, _context: &StepContext) -> Result<Output, StepError> {
        self.jobs.assign(input.assignment(Self::NAME, JobWork::CheckReplica)).await?;
        Ok(Output {})
    }
}
