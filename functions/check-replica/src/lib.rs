//! Asks the replica through its application, and holds its data against what was proven when the image was made.

use async_trait::async_trait;
use rekindle_cmdb::TaskToken;
use rekindle_domain::{Bytes, InstanceId, JobId, JobWork, MachineKey, PlanId, RunId};
use rekindle_function_recover::attempt_step;
use rekindle_instances::{AgentJobs, Assignment};
use rekindle_step::{Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The step.
pub struct CheckReplica {
    /// Gives jobs.
    pub jobs: AgentJobs,
}

/// What the state machine passes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The recovery.
    pub run_id: RunId,
    /// Its plan: the digest that was approved.
    pub plan_id: PlanId,
    /// Which machine.
    pub machine: MachineKey,
    /// Which attempt: 0 for the planned image.
    pub attempt: usize,
    /// The replica.
    pub instance_id: InstanceId,
    /// By which the waiting state is answered.
    pub task_token: TaskToken,
}

/// Nothing: the result comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {}

#[async_trait]
impl Step for CheckReplica {
    const NAME: &'static str = "check-replica";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let assignment = Assignment {
            id: JobId {
                run_id: input.run_id,
                machine: input.machine,
                step: attempt_step(Self::NAME, input.attempt),
            },
            work: JobWork::CheckReplica,
            instance_id: input.instance_id,
            stored: Bytes(0),
            task_token: input.task_token,
        };
        self.jobs.assign(assignment).await?;
        Ok(Output {})
    }
}
