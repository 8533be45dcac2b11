//! Makes the plan of a recovery, stores it, and names it by its digest. Nothing is started before it was shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rekindle_cmdb::Register;
use rekindle_domain::{
    CustomerId, Flow, MachineKey, PlanId, RecoveryKind, RecoveryPlan, Run, RunId, RunState, Seconds, Service,
    ServiceId, ServiceKey,
};
use rekindle_planning::deadline::run_deadline;
use rekindle_planning::{RecoveryRequest, RecoverySituation, RecoveryUnplannable, plan_recovery};
use rekindle_step::{Clock, ErrorName, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The step.
pub struct PlanRecovery {
    /// The register.
    pub register: Register,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long the flow waits between two looks at the provider.
    pub poll_seconds: u64,
}

/// What a person or a schedule asks for: the input of the execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Disaster or rehearsal.
    pub kind: RecoveryKind,
    /// Whose services.
    pub customer_id: CustomerId,
    /// Which services; empty means all of the customer.
    pub services: Vec<ServiceId>,
    /// Who asks.
    pub requested_by: String,
    /// In their own words.
    pub reason: String,
    /// When the disaster was declared; recovery time is measured from here.
    pub declared_at: Timestamp,
    /// Recover to the newest images at or before this instant.
    pub at_or_before: Option<Timestamp>,
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
            None => preview(&self.register, &input.request, &input.run_id, self.clock.now()).await?,
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

/// The plan that a recovery would carry out if it was declared now. Nothing is stored and nothing is started.
///
/// # Errors
/// When a service is unknown, services wait for each other, or nothing is proven: the sentence names the newest
/// failed verdict.
pub async fn preview(
    register: &Register,
    request: &Request,
    run_id: &RunId,
    now: Timestamp,
) -> Result<RecoveryPlan, StepError> {
    let services = register.services(&request.customer_id).await.map_err(StepError::from)?;
    let mut situations = Vec::new();
    for service in services {
        situations.push(situation(register, service).await?);
    }
    let wanted = RecoveryRequest {
        run_id: run_id.clone(),
        kind: request.kind,
        requested_by: request.requested_by.clone(),
        reason: request.reason.clone(),
        declared_at: request.declared_at,
        services: request.services.clone(),
        at_or_before: request.at_or_before,
    };
    plan_recovery(&wanted, &situations, now).map_err(unplannable)
}

async fn situation(register: &Register, service: Service) -> Result<RecoverySituation, StepError> {
    let mut images = BTreeMap::new();
    let mut newest_failures = BTreeMap::new();
    for machine in &service.machines {
        let key = service.key.machine(machine.machine_id.clone());
        images.insert(key.clone(), register.images(&key).await.map_err(StepError::from)?);
        let state = register.machine_state(&key).await.map_err(StepError::from)?;
        if let Some(failure) = state.newest_failure {
            newest_failures.insert(key, format!("{} ({}, {})", failure.cause, failure.error, failure.at));
        }
    }
    let measured_start = register.measured_start(&service.key).await.map_err(StepError::from)?;
    Ok(RecoverySituation { service, images, newest_failures, measured_start })
}

fn unplannable(error: RecoveryUnplannable) -> StepError {
    match error {
        RecoveryUnplannable::UnknownService(_) => {
            StepError::new(ErrorName::UnknownService, error.to_string()).next_step("Check the service's name")
        }
        RecoveryUnplannable::Circle(_) => {
            StepError::permanent(error.to_string()).next_step("Remove one of the dependencies")
        }
        RecoveryUnplannable::NothingProven(_) => StepError::new(ErrorName::NoProvenImage, error.to_string()),
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
