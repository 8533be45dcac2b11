//! Makes the plan of a recovery, stores it, and names it by its digest. Nothing is started before it was shown.

use std::sync::Arc;

use async_trait::async_trait;
use rekindle_cmdb::Register;
use rekindle_domain::{Flow, MachineKey, PlanId, RecoveryPlan, Run, RunId, RunState, Seconds, ServiceKey};
use rekindle_planning::deadline::run_deadline;
use rekindle_step::{Clock, ErrorName, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

use rekindle_requests::recovery::{Request, plan};

/// The step.
pub struct PlanRecovery {
    /// The register.
    pub register: Register,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long the flow waits between two looks at the provider.
    pub poll_seconds: u64,
}

/// What the state machine passes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The run: the name of its execution.
    pub run_id: RunId,
    /// What is asked for.
    pub request: Request,
}

/// What the state machine gets: ids only; the plan itself is in the register.
#[derive(Debug, Serialize)]
pub struct Output {
    /// The plan's digest.
    pub plan_id: PlanId,
    /// The services of each wave.
    pub waves: Vec<Vec<PlannedService>>,
    /// How long to wait between two looks at the provider.
    pub poll_seconds: u64,
}

/// A service of a wave.
#[derive(Debug, Serialize)]
pub struct PlannedService {
    /// Which service.
    pub service: ServiceKey,
    /// Its hosts.
    pub machines: Vec<PlannedMachine>,
}

/// A machine of a service.
#[derive(Debug, Serialize)]
pub struct PlannedMachine {
    /// Which machine.
    pub machine: MachineKey,
    /// How many images may be tried.
    pub attempts: usize,
    /// When its launch may begin, counted from the start of the wave.
    pub launch_slot_seconds: u64,
}

#[async_trait]
impl Step for PlanRecovery {
    const NAME: &'static str = "plan-recovery";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let run = self.open_run(&input).await?;
        let plan = match self.stored_plan(&run).await? {
            Some(plan) => plan, // Entered again: what may have been shown and approved does not change.
            None => plan(&self.register, &input.request, &input.run_id, self.clock.now()).await?,
        };
        let plan_id = self.register.put_plan(&plan).await.map_err(StepError::from)?;
        self.register.bind_plan(&input.run_id, &plan_id).await.map_err(StepError::from)?;
        Ok(Output { plan_id, waves: waves(&plan), poll_seconds: self.poll_seconds })
    }
}

impl PlanRecovery {
    async fn open_run(&self, input: &Input) -> Result<Run, StepError> {
        let now = self.clock.now();
        let run = Run::open(input.run_id.clone(), Flow::Recover, None, now, run_deadline(now));
        let run = self.register.open_run(&run).await.map_err(StepError::from)?;
        if run.state == RunState::Open {
            return Ok(run);
        }
        Err(StepError::new(ErrorName::RunClosed, "nothing was planned: the recovery is closed"))
    }

    async fn stored_plan(&self, run: &Run) -> Result<Option<RecoveryPlan>, StepError> {
        match &run.plan_id {
            Some(plan_id) => self.register.plan(plan_id).await.map_err(StepError::from),
            None => Ok(None),
        }
    }
}

fn waves(plan: &RecoveryPlan) -> Vec<Vec<PlannedService>> {
    plan.waves
        .iter()
        .map(|wave| {
            wave.services
                .iter()
                .map(|service| PlannedService {
                    service: service.service.clone(),
                    machines: service
                        .machines
                        .iter()
                        .map(|machine| PlannedMachine {
                            machine: machine.machine.clone(),
                            attempts: machine.fallbacks.len() + 1,
                            launch_slot_seconds: whole_seconds(machine.launch_slot),
                        })
                        .collect(),
                })
                .collect()
        })
        .collect()
}

/// A Wait state takes whole seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "launch slots are small and positive"
)]
fn whole_seconds(slot: Seconds) -> u64 {
    slot.0.max(0.0).ceil() as u64
}
