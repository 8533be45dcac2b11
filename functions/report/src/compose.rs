//! From what the register holds to a report. Collecting reads; everything else is pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rekindle_cmdb::{InstanceBinding, JobRecord, Register, SetRecord};
use rekindle_domain::job::{Hello, JobResult};
use rekindle_domain::report::{
    RecoveryFacts, RefreshFacts, ReplicaFacts, ResourceRecord, SCHEMA_VERSION, ServiceFacts, StepRecord,
};
use rekindle_domain::{
    Decision, Image, InstanceId, Intent, IntentKind, JobOutcome, JobWork, MachineRecovery, Outcome,
    RecoveryKind, RecoveryPlan, RefreshPlan, Report, Run, RunState, Seconds, Verdict, plan::ServiceRecovery,
};
use rekindle_requests::approval::approval_task;
use rekindle_step::StepError;

/// Everything that the register knows about a run.
#[derive(Debug, Default)]
pub struct Facts {
    refresh_plan: Option<RefreshPlan>,
    newest_set: Option<SetRecord>,
    image: Option<Image>,
    recovery_plan: Option<RecoveryPlan>,
    decision: Option<Decision>,
    steps: Vec<StepRecord>,
    jobs: Vec<JobRecord>,
    intents: Vec<Intent>,
    bindings: BTreeMap<InstanceId, InstanceBinding>,
}

/// Reads what the register knows about a run.
///
/// # Errors
/// When the register cannot be read.
pub async fn collect(register: &Register, run: &Run) -> Result<Facts, StepError> {
    let mut facts = Facts {
        steps: register.steps(&run.run_id).await.map_err(StepError::from)?,
        jobs: register.jobs_of_run(&run.run_id).await.map_err(StepError::from)?,
        intents: register.intents(&run.run_id).await.map_err(StepError::from)?,
        refresh_plan: register.refresh_plan(&run.run_id).await.map_err(StepError::from)?,
        ..Facts::default()
    };
    for instance_id in facts.intents.iter().filter_map(|intent| intent.instance_id.clone()) {
        if let Some(binding) = register.instance(&instance_id).await.map_err(StepError::from)? {
            facts.bindings.insert(instance_id, binding);
        }
    }
    if let Some(plan) = &facts.refresh_plan {
        if let Some(backup_id) = plan.sets.last() {
            facts.newest_set = register.set(&plan.machine, backup_id).await.map_err(StepError::from)?;
        }
        facts.image = register.image_of_run(&plan.machine, &run.run_id).await.map_err(StepError::from)?;
    }
    if let Some(plan_id) = &run.plan_id {
        facts.recovery_plan = register.plan(plan_id).await.map_err(StepError::from)?;
        let task =
            register.human_task(&approval_task(&run.run_id, plan_id)).await.map_err(StepError::from)?;
        facts.decision = task.and_then(|task| task.decision);
    }
    Ok(facts)
}

/// How a recovery went: from the replicas that answered, against what was planned.
pub fn recovery_outcome(facts: &Facts) -> Outcome {
    let Some(plan) = &facts.recovery_plan else { return Outcome::Failed };
    let services: Vec<ServiceFacts> = all_services(facts, plan);
    let serving = services.iter().filter(|service| service.recovery_time.is_some()).count();
    match serving {
        0 => Outcome::Failed,
        serving if serving == services.len() => Outcome::Recovered,
        _ => Outcome::PartiallyRecovered,
    }
}

/// The report.
pub fn report(run: &Run, facts: &Facts, outcome: Outcome, cause: &str, now: Timestamp) -> Report {
    let recovery = facts.recovery_plan.as_ref().map(|plan| recovery_facts(run, facts, plan));
    Report {
        schema_version: SCHEMA_VERSION,
        run_id: run.run_id.clone(),
        flow: run.flow,
        customer_id: customer(run, facts),
        outcome,
        cause: told_cause(facts, recovery.as_ref(), outcome, cause),
        started_at: run.opened_at,
        finished_at: now,
        refresh: run.machine.as_ref().map(|_| refresh_facts(run, facts)).and_then(|facts| facts),
        recovery,
        steps: steps(facts),
        resources: facts.intents.iter().map(|intent| resource(run, facts, intent)).collect(),
    }
}

fn customer(run: &Run, facts: &Facts) -> Option<rekindle_domain::CustomerId> {
    let of_machine = run.machine.as_ref().map(|machine| machine.customer_id.clone());
    let planned = facts.recovery_plan.as_ref().and_then(|plan| plan.machines().next());
    of_machine.or_else(|| planned.map(|machine| machine.machine.customer_id.clone()))
}

fn told_cause(facts: &Facts, recovery: Option<&RecoveryFacts>, outcome: Outcome, cause: &str) -> String {
    if !cause.is_empty() {
        return cause.to_owned();
    }
    match (outcome, &facts.image, recovery) {
        (Outcome::Refreshed, Some(image), _) => format!(
            "the image {} is proven ({}) and registered; everything committed before {} is in it",
            image.image_id,
            image.evidence.sentence(),
            image.recovery_point
        ),
        (Outcome::Recovered, _, Some(recovery)) => match recovery.services.len() {
            1 => "the service serves from a proven image".to_owned(),
            services => format!("all {services} services serve from proven images"),
        },
        (Outcome::PartiallyRecovered | Outcome::Failed, _, Some(recovery)) => {
            let causes: Vec<String> = recovery
                .services
                .iter()
                .filter_map(|service| {
                    service.cause.as_ref().map(|cause| format!("{}: {cause}", service.service))
                })
                .collect();
            let fate = match recovery.kind {
                RecoveryKind::Disaster => "Replicas that were started are kept until the recovery is ended",
                RecoveryKind::Rehearsal => "Replicas that were started were destroyed",
            };
            format!("{}. {fate}", causes.join("; "))
        }
        _ => format!("the run ended as {outcome}"),
    }
}

fn refresh_facts(run: &Run, facts: &Facts) -> Option<RefreshFacts> {
    let set = facts.newest_set.as_ref().map(|record| &record.set);
    Some(RefreshFacts {
        machine: run.machine.clone()?,
        backup_id: set.map(|set| set.backup_id.clone()),
        backup_kind: set.map(|set| set.kind),
        backup_place: set.map(|set| set.machine.set_prefix(&set.backup_id)),
        backup_bytes: set.map(rekindle_domain::BackupSet::stored_bytes),
        parent_image_id: facts.refresh_plan.as_ref().map(|plan| plan.parent_image_id.clone()),
        image_id: facts.image.as_ref().map(|image| image.image_id.clone()),
        recovery_point: facts.image.as_ref().map(|image| image.recovery_point),
        verdict: facts.jobs.iter().find_map(verified),
    })
}

fn verified(job: &JobRecord) -> Option<Verdict> {
    match &job.outcome {
        Some(JobOutcome::Succeeded {
            result: JobResult::Verified { verdict } | JobResult::ReplicaChecked { verdict },
        }) => Some(verdict.clone()),
        _ => None,
    }
}

fn recovery_facts(run: &Run, facts: &Facts, plan: &RecoveryPlan) -> RecoveryFacts {
    RecoveryFacts {
        kind: plan.kind,
        plan_id: run.plan_id.clone(),
        requested_by: plan.requested_by.clone(),
        reason: plan.reason.clone(),
        declared_at: plan.declared_at,
        decision: facts.decision.clone(),
        predicted_recovery_time: Some(plan.predicted_recovery_time),
        services: all_services(facts, plan),
    }
}

fn all_services(facts: &Facts, plan: &RecoveryPlan) -> Vec<ServiceFacts> {
    let planned = plan.waves.iter().flat_map(|wave| &wave.services);
    let impossible = plan.not_recoverable.iter().map(|service| ServiceFacts {
        service: service.service.clone(),
        recovery_time_objective: None,
        recovery_time: None,
        recovery_point_objective: None,
        recovery_point: None,
        replicas: Vec::new(),
        cause: Some(service.cause.clone()),
    });
    planned.map(|service| service_facts(facts, plan, service)).chain(impossible).collect()
}

fn service_facts(facts: &Facts, plan: &RecoveryPlan, service: &ServiceRecovery) -> ServiceFacts {
    let replicas: Vec<ReplicaFacts> =
        service.machines.iter().flat_map(|machine| replicas_of(facts, machine)).collect();
    let serving = |machine: &MachineRecovery| {
        let own = replicas.iter().filter(|replica| replica.machine == machine.machine);
        own.filter(|replica| replica.serving_since.is_some())
            .min_by_key(|replica| replica.serving_since)
            .cloned()
    };
    let serving: Vec<Option<ReplicaFacts>> = service.machines.iter().map(serving).collect();
    let all_serve = serving.iter().all(Option::is_some);
    let serving: Vec<ReplicaFacts> = serving.into_iter().flatten().collect();
    let since = serving.iter().filter_map(|replica| replica.serving_since).max().filter(|_| all_serve);
    let point = serving.iter().map(|replica| replica.recovery_point).min().filter(|_| all_serve);
    ServiceFacts {
        service: service.service.clone(),
        recovery_time_objective: Some(service.recovery_time_objective),
        recovery_time: since.map(|since| Seconds::between(plan.declared_at, since)),
        recovery_point_objective: Some(service.recovery_point_objective),
        recovery_point: point.map(|point| Seconds::between(point, plan.declared_at)),
        replicas,
        cause: (!all_serve).then(|| failure_of(facts, service)),
    }
}

fn failure_of(facts: &Facts, service: &ServiceRecovery) -> String {
    let of_service = |step: &&StepRecord| {
        step.machine.as_ref().is_some_and(|machine| machine.service() == service.service)
            && step.error.is_some()
    };
    let failed_job = facts.jobs.iter().rev().find_map(|job| match &job.outcome {
        Some(JobOutcome::Failed { error, cause }) if job.job.id.machine.service() == service.service => {
            Some(format!("{cause} ({error})"))
        }
        _ => None,
    });
    let failed_step = facts.steps.iter().rev().find(of_service);
    let told = |step: &StepRecord| step.detail.clone().or_else(|| step.error.clone());
    failed_job
        .or_else(|| failed_step.and_then(told))
        .unwrap_or_else(|| "no replica of it answered in time".to_owned())
}

/// One entry for each attempt that brought an instance.
fn replicas_of(facts: &Facts, machine: &MachineRecovery) -> Vec<ReplicaFacts> {
    let boots = facts
        .jobs
        .iter()
        .filter(|job| job.job.work == JobWork::Boot && job.job.id.machine == machine.machine);
    boots.filter_map(|boot| replica(facts, machine, boot)).collect()
}

fn replica(facts: &Facts, machine: &MachineRecovery, boot: &JobRecord) -> Option<ReplicaFacts> {
    let hello = match &boot.outcome {
        Some(JobOutcome::Succeeded { result: JobResult::Booted { hello, .. } }) => hello,
        _ => return None,
    };
    let image_id = facts.bindings.get(&boot.instance_id)?.image_id.clone();
    let check = facts.jobs.iter().find(|job| {
        job.instance_id == boot.instance_id && job.job.work == JobWork::CheckReplica && job.outcome.is_some()
    });
    let verdict = check.and_then(verified);
    let passed = verdict.as_ref().is_some_and(Verdict::passed);
    let fell_back = image_id != machine.image_id;
    let older = machine.fallbacks.iter().find(|fallback| fallback.image_id == image_id);
    Some(ReplicaFacts {
        machine: machine.machine.clone(),
        instance_id: boot.instance_id.clone(),
        recovery_point: older.map_or(machine.recovery_point, |older| older.recovery_point),
        image_id,
        fell_back,
        hostname: hello.hostname.clone(),
        ip_address: hello.ip_address.clone(),
        ssh_key_name: installed_key(hello, machine),
        serving_since: check.and_then(|check| check.finished_at).filter(|_| passed),
        verdict,
    })
}

/// The planned key's name, when the instance says that the key is really there.
fn installed_key(hello: &Hello, machine: &MachineRecovery) -> String {
    let installed = hello.ssh_key_names.iter().find(|name| **name == machine.ssh_key_name);
    installed.cloned().unwrap_or_default()
}

/// The states of the state machine, and the agents' work, in the order in which they began.
fn steps(facts: &Facts) -> Vec<StepRecord> {
    let mut steps = facts.steps.clone();
    steps.extend(facts.jobs.iter().map(agent_step));
    steps.sort_by_key(|step| step.started_at);
    steps
}

fn agent_step(job: &JobRecord) -> StepRecord {
    let (error, detail) = match &job.outcome {
        Some(JobOutcome::Failed { error, cause }) => (Some(error.clone()), Some(cause.clone())),
        Some(JobOutcome::Succeeded { result }) => (None, detail_of(result)),
        None => (None, Some("the agent did not finish it".to_owned())),
    };
    StepRecord {
        name: format!("agent: {}", job.job.work.name()),
        machine: Some(job.job.id.machine.clone()),
        started_at: job.posted_at,
        finished_at: job.finished_at,
        error,
        detail,
    }
}

fn detail_of(result: &JobResult) -> Option<String> {
    match result {
        JobResult::Booted { hello, .. } => Some(format!("{} at {}", hello.hostname, hello.ip_address)),
        JobResult::ConfigurationUpdated { files_written, .. } => {
            Some(format!("{files_written} files written"))
        }
        JobResult::Restored { fetched_bytes, restored_bytes, .. } => Some(format!(
            "{} fetched, {} restored",
            rekindle_domain::Bytes(*fetched_bytes),
            rekindle_domain::Bytes(*restored_bytes)
        )),
        JobResult::Verified { verdict } | JobResult::ReplicaChecked { verdict } => Some(verdict.sentence()),
        JobResult::Sealed => Some("engines stopped, keys wiped, powered off".to_owned()),
        JobResult::Activated { programs } => Some(format!("serving: {}", programs.join(", "))),
    }
}

fn resource(run: &Run, facts: &Facts, intent: &Intent) -> ResourceRecord {
    let (kind, id) = match intent.kind {
        IntentKind::Instance => ("instance", intent.instance_id.as_ref().map(ToString::to_string)),
        IntentKind::Image => ("image", intent.image_id.as_ref().map(ToString::to_string)),
    };
    let registered =
        facts.image.as_ref().is_some_and(|image| Some(&image.image_id) == intent.image_id.as_ref());
    let replaced = intent.instance_id.as_ref().is_some_and(|instance_id| was_replaced(facts, instance_id));
    let fate = match (registered, run.state, run.first_empty_at) {
        (false, RunState::Open, _) if replaced => "destroyed",
        (true, _, _) => "registered",
        (false, RunState::Open, _) => "kept",
        (false, RunState::Ended, _) | (false, RunState::Closed, Some(_)) => "destroyed",
        (false, RunState::Closed, None) => "left-for-sweep",
    };
    ResourceRecord {
        kind: kind.to_owned(),
        id: id.unwrap_or_else(|| intent.name.clone()),
        fate: fate.to_owned(),
    }
}

/// Whether a later attempt started another replica of the same machine: that one's predecessor was destroyed first.
fn was_replaced(facts: &Facts, instance_id: &InstanceId) -> bool {
    let boots = || facts.jobs.iter().filter(|job| job.job.work == JobWork::Boot);
    let Some(own) = boots().find(|job| job.instance_id == *instance_id) else { return false };
    boots().any(|job| job.job.id.machine == own.job.id.machine && job.posted_at > own.posted_at)
}
