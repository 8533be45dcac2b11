//! What must always hold (section 4 of the design), held against what the cloud really holds.

use std::collections::BTreeSet;

use rekindle_cloud::{ImageState, Resource};
use rekindle_domain::{
    Flow, Image, MachineKey, ObjectKey, Outcome, RecoveryKind, Report, Run, RunId, RunState,
};
use rekindle_flow::{Execution, ExecutionStatus};
use rekindle_planning::ending::outcome_of;

use crate::agent::Disk;
use crate::world::World;
use crate::world::customer::{customer, machines};

/// What was there before something went wrong.
#[derive(Debug, Default)]
pub struct Before {
    images: Vec<(Image, serde_json::Value)>,
}

impl Before {
    /// Looks at the images.
    pub async fn look(world: &World) -> Self {
        let mut images = Vec::new();
        for machine in machines() {
            for image in world.register.images(&machine).await.unwrap() {
                let (_, disk) = world.cloud.truth_image(&image.image_id).unwrap();
                images.push((image, disk));
            }
        }
        Self { images }
    }
}

/// Everything that does not hold, one sentence each. To be called when nothing is left to do.
pub async fn violations(world: &World, before: &Before) -> Vec<String> {
    let mut found = Vec::new();
    for (flow, run_id) in world.executions.runs() {
        check_run(world, flow, &run_id, &mut found).await;
    }
    check_cloud(world, &mut found).await;
    for machine in machines() {
        check_register(world, &machine, &mut found).await;
    }
    check_kept(world, before, &mut found).await;
    found
}

/// Sees to it that whatever was due is done, and checks that it was.
pub async fn convergence(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    // Longer than any pause after a failure, except the one before a person is asked.
    tokio::time::sleep(std::time::Duration::from_mins(40)).await;
    world.settle().await;
    for machine in machines() {
        let Some(newest) = world.backups.newest(&machine) else { continue };
        let run_id = world.refresh(&machine).await;
        let execution = world.execution(&run_id).unwrap();
        if execution.status != ExecutionStatus::Succeeded {
            found.push(format!("a later refresh of {machine} ended with {:?}", execution.error));
        }
        let latest = world.register.latest_image(&machine).await.unwrap();
        if latest.as_ref().map(|image| &image.backup_id) != Some(&newest.set.backup_id) {
            let position = latest.map(|image| image.position.to_string());
            found.push(format!("{machine} stands at {position:?} and not at {}", newest.set.position));
        }
        let wanted = world.register.service(&machine.service()).await.unwrap().unwrap().value.configuration;
        let latest = world.register.latest_image(&machine).await.unwrap();
        if latest.and_then(|image| image.revision) != wanted.map(|wanted| wanted.revision) {
            found.push(format!("{machine} does not have the newest configuration"));
        }
    }
    world.settle().await;
    found
}

async fn check_run(world: &World, flow: Flow, run_id: &RunId, found: &mut Vec<String>) {
    let Some(run) = world.register.run(run_id).await.unwrap() else {
        // What was killed before its first step had an effect is nothing to anybody.
        let execution =
            world.execution(run_id).filter(|execution| execution.status != ExecutionStatus::Running);
        let told =
            execution.map(ending).map(|ending| format!("{flow:?} {run_id} was never recorded: {ending:?}"));
        found.extend(told);
        return;
    };
    let may_be_open = world.is_open_disaster(&run).await;
    if run.state != RunState::Ended && !may_be_open {
        found.push(format!("{flow:?} {run_id} is {:?}", run.state));
    }
    let Some(report) = world.register.report(run_id).await.unwrap().filter(|_| run.reported) else {
        found.push(format!("{flow:?} {run_id} was not reported"));
        return;
    };
    if Some(report.outcome) != run.outcome {
        found.push(format!("{run_id} is reported as {} and recorded as {:?}", report.outcome, run.outcome));
    }
    check_kept_report(world, &report, found);
    if let Some(execution) = world.execution(run_id) {
        check_ending(&run, &execution, report.outcome, found);
    }
    match flow {
        Flow::RefreshImage => check_refresh_report(world, &run, &report, found).await,
        Flow::Recover => check_recovery_report(world, &run, &report, found).await,
    }
}

fn ending(execution: Execution) -> (ExecutionStatus, Option<String>, Option<String>) {
    (execution.status, execution.error, execution.cause)
}

/// The report lies in the control bucket, and it was never another one.
fn check_kept_report(world: &World, report: &Report, found: &mut Vec<String>) {
    let key = format!("customers/{}/reports/{}.json", customer(), report.run_id);
    let writes = world.store.writes(&ObjectKey::parse(&key).unwrap());
    let expected = serde_json::to_vec_pretty(report).unwrap();
    if report.customer_id.is_some() && writes.is_empty() {
        found.push(format!("the report of {} is not in the control bucket", report.run_id));
    }
    if writes.iter().any(|written| *written != expected) {
        found.push(format!("{} was reported more than once, and differently", report.run_id));
    }
}

/// The execution ended as the report says, or did not live to its end.
fn check_ending(run: &Run, execution: &Execution, outcome: Outcome, found: &mut Vec<String>) {
    let error = execution.error.as_deref().unwrap_or_default();
    let cause = execution.cause.as_deref().unwrap_or_default();
    let fits = match execution.status {
        ExecutionStatus::Running => true,
        ExecutionStatus::Succeeded => outcome.is_success(),
        ExecutionStatus::Failed if error == Outcome::LeftForSweep.name() => true,
        ExecutionStatus::Failed => {
            !outcome.is_success()
                && (error == outcome.name() || outcome_of(run.flow, error, cause) == Some(outcome))
        }
        ExecutionStatus::TimedOut | ExecutionStatus::Aborted => !outcome.is_success(),
    };
    if !fits {
        let status = execution.status;
        found.push(format!(
            "{:?} {} is reported as {outcome} and ended {status:?} {error:?}",
            run.flow, run.run_id
        ));
    }
}

/// Refreshed means that there is an image, and that there is one means Refreshed.
async fn check_refresh_report(world: &World, run: &Run, report: &Report, found: &mut Vec<String>) {
    let machine = run.machine.as_ref().unwrap();
    let images = world.register.images(machine).await.unwrap();
    let image = images.iter().find(|image| image.run_id == run.run_id);
    let told = report.refresh.as_ref().and_then(|refresh| refresh.image_id.clone());
    if told.as_ref() != image.map(|image| &image.image_id) {
        found.push(format!("{} reports the image {told:?}, and the register has {image:?}", run.run_id));
    }
    let fits = match (image, report.outcome) {
        (Some(_), Outcome::Refreshed | Outcome::LeftForSweep) => true,
        (Some(_), _) | (None, Outcome::Refreshed) => false,
        (None, _) => true,
    };
    if !fits {
        let has = if image.is_some() { "an" } else { "no" };
        found.push(format!("{} is reported as {} and registered {has} image", run.run_id, report.outcome));
    }
}

/// Recovered means that every service answered; PartiallyRecovered, that some did.
async fn check_recovery_report(world: &World, run: &Run, report: &Report, found: &mut Vec<String>) {
    let Some(plan_id) = &run.plan_id else { return };
    let plan = world.register.plan(plan_id).await.unwrap().unwrap();
    let had_served = |machine: &MachineKey| world.agents.had_served(&run.run_id, machine, report.finished_at);
    let services: Vec<bool> = plan
        .waves
        .iter()
        .flat_map(|wave| &wave.services)
        .map(|service| {
            let mut machines = service.machines.iter();
            machines.all(|machine| had_served(&machine.machine))
        })
        .collect();
    let served = services.iter().filter(|served| **served).count();
    let fits = match report.outcome {
        Outcome::Recovered => served == services.len(),
        Outcome::PartiallyRecovered => served > 0 && served < services.len(),
        Outcome::Failed => served == 0 || plan.kind == RecoveryKind::Rehearsal,
        Outcome::Declined | Outcome::TimedOut => served == 0,
        _ => true,
    };
    if !fits {
        let all = services.len();
        found.push(format!(
            "{} is reported as {} and {served} of {all} services served",
            run.run_id, report.outcome
        ));
    }
    let told = report.recovery.iter().flat_map(|recovery| &recovery.services);
    for service in told.filter(|service| service.recovery_time.is_some()) {
        let silent = service.replicas.iter().all(|replica| !had_served(&replica.machine));
        if silent {
            found.push(format!("{} is said to serve and never did", service.service));
        }
    }
}

/// Nothing is left but registered images and the replicas of open disasters.
async fn check_cloud(world: &World, found: &mut Vec<String>) {
    let mut registered = BTreeSet::new();
    for machine in machines() {
        let images = world.register.images(&machine).await.unwrap();
        registered.extend(images.into_iter().map(|image| image.image_id.to_string()));
    }
    let mut kept = BTreeSet::new();
    for (_, run_id) in world.executions.runs() {
        let Some(run) = world.register.run(&run_id).await.unwrap() else { continue };
        if world.is_open_disaster(&run).await {
            kept.extend(world.cloud.truth_resources(&run_id).iter().map(|resource| resource.id().to_owned()));
        }
    }
    for resource in world.cloud.all_truth() {
        let is_expected = match &resource {
            Resource::Image(_) => registered.contains(resource.id()),
            // What a replica of an open disaster lost goes when a person ends the recovery.
            Resource::Instance(_) | Resource::Other { .. } => kept.contains(resource.id()),
        };
        if !is_expected {
            found.push(format!("the {} {} is left", resource.kind(), resource.id()));
        }
    }
}

/// Only images that are proven and hold what they are said to hold; never backwards; the lease is free.
async fn check_register(world: &World, machine: &MachineKey, found: &mut Vec<String>) {
    let images = world.register.images(machine).await.unwrap();
    for image in &images {
        check_image(world, image, found);
    }
    let state = world.register.machine_state(machine).await.unwrap();
    if let Some(lease) = state.lease {
        found.push(format!("the lease of {machine} is held by {}", lease.run_id));
    }
    let newest = images.iter().map(Image::order).max();
    if state.newest.as_ref().map(rekindle_cmdb::NewestImage::order) != newest {
        found.push(format!("the newest image of {machine} is not the one that is named so"));
    }
    let seen = world.newest_seen(machine);
    if seen.windows(2).any(|pair| pair[1].order() < pair[0].order()) {
        found.push(format!("the register of {machine} moved backwards: {seen:?}"));
    }
    let positions: BTreeSet<_> = images.iter().map(Image::order).collect();
    if positions.len() != images.len() {
        found.push(format!("{machine} has two images of one moment"));
    }
}

fn check_image(world: &World, image: &Image, found: &mut Vec<String>) {
    let id = &image.image_id;
    let Some((described, disk)) = world.cloud.truth_image(id) else {
        found.push(format!("the registered image {id} does not exist"));
        return;
    };
    let disk = Disk::read(&disk);
    let claimed = world.backups.set(&image.backup_id).unwrap();
    if described.state != ImageState::Available {
        found.push(format!("the registered image {id} is {:?}", described.state));
    }
    if !image.evidence.passed() {
        found.push(format!("the registered image {id} is not proven"));
    }
    if !disk.holds(&claimed) || image.position != claimed.set.position || disk.revision != image.revision {
        found.push(format!("the registered image {id} claims {} and holds {disk:?}", image.position));
    }
    if !disk.sealed || disk.serving {
        found.push(format!("the registered image {id} was not sealed"));
    }
    if image.recovery_point != claimed.set.recovery_point_time() {
        found.push(format!("the recovery point of {id} is not the one of its set"));
    }
}

/// Images that were there stay there, and stay what they were.
async fn check_kept(world: &World, before: &Before, found: &mut Vec<String>) {
    for (image, disk) in &before.images {
        let registered = world.register.image(&image.machine, &image.image_id).await.unwrap();
        let truth = world.cloud.truth_image(&image.image_id);
        if registered.as_ref() != Some(image) || truth.as_ref().map(|(_, disk)| disk) != Some(disk) {
            found.push(format!("the earlier image {} of {} was touched", image.image_id, image.machine));
        }
    }
}
