//! Starts the builder of a refresh and waits until its agent reports.
//!
//! The intent is written before the launch, so that whatever happens afterwards `destroy` knows what to look for.

use async_trait::async_trait;
use rekindle_cloud::Purpose;
use rekindle_cmdb::TaskToken;
use rekindle_domain::{Bytes, JobId, JobWork, RefreshPlan};
use rekindle_instances::{AgentJobs, Assignment, Launch, Launcher};
use rekindle_step::{Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The step.
pub struct StartInstance {
    /// Starts instances.
    pub launcher: Launcher,
    /// Gives jobs.
    pub jobs: AgentJobs,
}

/// What the state machine passes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The work.
    pub plan: RefreshPlan,
    /// By which the waiting state is answered.
    pub task_token: TaskToken,
}

/// What the state machine gets at once; the instance comes with the callback.
#[derive(Debug, Serialize)]
pub struct Output {
    /// The provider's id.
    pub instance_id: String,
}

#[async_trait]
impl Step for StartInstance {
    const NAME: &'static str = "start-instance";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let plan = input.plan;
        let started = self.launcher.ensure(&builder(&plan)).await?;
        let assignment = Assignment {
            id: JobId { run_id: plan.run_id, machine: plan.machine, step: "start-instance".to_owned() },
            work: JobWork::Boot,
            instance_id: started.instance_id.clone(),
            stored: Bytes(0),
            task_token: input.task_token,
        };
        self.jobs.assign(assignment).await?;
        Ok(Output { instance_id: started.instance_id.to_string() })
    }
}

/// A builder restores and is destroyed: nobody logs in to it, so it gets no SSH key, and it reaches no production.
fn builder(plan: &RefreshPlan) -> Launch {
    Launch {
        run_id: plan.run_id.clone(),
        fence: Some(plan.fence),
        step: "start-instance".to_owned(),
        machine: plan.machine.clone(),
        image_id: plan.parent_image_id.clone(),
        instance_types: plan.instance_types.clone(),
        zones: plan.zones.clone(),
        purpose: Purpose::Builder,
        ssh_key_name: String::new(),
        isolated_network: true,
    }
}
