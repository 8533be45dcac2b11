//! Starts a replica from the planned image, or from the proven image before it when an earlier attempt failed.

use std::sync::Arc;

use async_trait::async_trait;
use rekindle_cloud::{CloudProvider, Purpose};
use rekindle_cmdb::{Register, TaskToken};
use rekindle_domain::{
    Bytes, ImageId, JobId, JobWork, MachineKey, MachineRecovery, PlanId, RecoveryPlan, RunId,
};
use rekindle_instances::{AgentJobs, Assignment, Launch, Launcher, attempt_step};
use rekindle_step::{ErrorName, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The step.
pub struct Recover {
    /// Holds the plan.
    pub register: Register,
    /// Destroys what an earlier attempt started.
    pub cloud: Arc<dyn CloudProvider>,
    /// Starts instances.
    pub launcher: Launcher,
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
    /// 0 for the planned image, 1 for the first fallback, and so on.
    pub attempt: usize,
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
impl Step for Recover {
    const NAME: &'static str = "recover";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let plan = approved_plan(&self.register, &input.plan_id).await?;
        let step = attempt_step(Self::NAME, input.attempt);
        let launch = replica(&input, &plan, &step)?;
        self.destroy_earlier_attempts(&input).await?;
        let started = self.launcher.ensure(&launch).await?;
        let assignment = Assignment {
            id: JobId { run_id: input.run_id, machine: input.machine, step },
            work: JobWork::Boot,
            instance_id: started.instance_id.clone(),
            stored: Bytes(0),
            task_token: input.task_token,
        };
        self.jobs.assign(assignment).await?;
        Ok(Output { instance_id: started.instance_id.to_string() })
    }
}

impl Recover {
    /// Two replicas of one machine must never serve side by side: what an earlier attempt started, and what may still
    /// come up late, goes before the next one starts. It has never served.
    async fn destroy_earlier_attempts(&self, input: &Input) -> Result<(), StepError> {
        for attempt in 0..input.attempt {
            let id = JobId {
                run_id: input.run_id.clone(),
                machine: input.machine.clone(),
                step: attempt_step(Self::NAME, attempt),
            };
            if let Some(boot) = self.register.job(&id).await.map_err(StepError::from)? {
                self.cloud.terminate(&boot.instance_id).await.map_err(StepError::from)?;
            }
        }
        Ok(())
    }
}

async fn approved_plan(register: &Register, plan_id: &PlanId) -> Result<RecoveryPlan, StepError> {
    register.plan(plan_id).await.map_err(StepError::from)?.ok_or_else(|| {
        StepError::new(ErrorName::PlanChanged, format!("the plan {} is not in the register", plan_id.short()))
    })
}

fn replica(input: &Input, plan: &RecoveryPlan, step: &str) -> Result<Launch, StepError> {
    let machine = plan.machines().find(|machine| machine.machine == input.machine).ok_or_else(|| {
        StepError::new(
            ErrorName::PlanChanged,
            format!("the approved plan does not recover {}", input.machine),
        )
    })?;
    let image_id = image_of_attempt(machine, input.attempt).ok_or_else(|| {
        StepError::new(
            ErrorName::NoProvenImage,
            format!("no further proven image of {} is left to try", input.machine),
        )
    })?;
    Ok(Launch {
        run_id: input.run_id.clone(),
        fence: None,
        step: step.to_owned(),
        machine: input.machine.clone(),
        image_id,
        instance_types: machine.instance_types.clone(),
        zones: machine.zones.clone(),
        purpose: Purpose::Replica,
        ssh_key_name: machine.ssh_key_name.clone(),
        isolated_network: plan.isolated_network,
    })
}

/// The planned image first, then the older ones.
pub fn image_of_attempt(machine: &MachineRecovery, attempt: usize) -> Option<ImageId> {
    match attempt.checked_sub(1) {
        None => Some(machine.image_id.clone()),
        Some(index) => machine.fallbacks.get(index).map(|fallback| fallback.image_id.clone()),
    }
}
