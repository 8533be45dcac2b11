//! All cases: every scenario, every Task that it comes to, every fault.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rekindle_cloud_sim::{SNAPSHOT, VOLUME};
use rekindle_domain::{Outcome, RunId};
use rekindle_embedded_host::load_flows;
use rekindle_flow::{EventType, Integration, Seconds, TaskOutline};
use serde_json::json;

use crate::faults::{Fault, Strike};
use crate::invariants::{Before, convergence, violations};
use crate::scenario::Scenario;
use crate::world::{SWEEP_INTERVAL, Variation, World};

/// A Task of a state machine.
#[derive(Debug, Clone)]
pub struct Place {
    /// The state machine.
    pub state_machine: String,
    /// The Task.
    pub task: TaskOutline,
}

impl Place {
    /// State machine and state.
    pub fn name(&self) -> (String, String) {
        (self.state_machine.clone(), self.task.state().to_owned())
    }

    /// How long the state waits for a first sign.
    fn patience(&self) -> Duration {
        let fixed = |seconds: &Option<Seconds>| match seconds {
            Some(Seconds::Fixed(seconds)) => Some(*seconds),
            _ => None,
        };
        let limits = [fixed(&self.task.timeout_seconds), fixed(&self.task.heartbeat_seconds)];
        Duration::from_secs(limits.into_iter().flatten().min().expect("a Task has a time-out"))
    }
}

/// Every Task of every flow, as the files have them.
pub fn places() -> Vec<Place> {
    let of = |machine: &rekindle_flow::StateMachine| {
        let state_machine = machine.name().to_owned();
        let tasks = machine.tasks();
        tasks
            .into_iter()
            .map(move |task| Place { state_machine: state_machine.clone(), task })
            .collect::<Vec<_>>()
    };
    load_flows().unwrap().iter().flat_map(of).collect()
}

/// Whether a fault can strike a Task at all.
fn applies(fault: Fault, place: &Place) -> bool {
    let waits = place.task.integration == Integration::LambdaInvokeWaitForTaskToken;
    let starts = place.task.integration == Integration::StartExecutionSync;
    (waits || !fault.needs_a_callback()) && (!starts || strikes_started_executions(fault))
}

/// A Task that starts an execution has no step: what can go wrong is that the name is taken, that the execution is
/// stopped, that its instances die, and that the process does.
fn strikes_started_executions(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::PermanentBeforeTheEffect
            | Fault::PermanentAfterTheEffect
            | Fault::KilledBeforeTheEffect
            | Fault::KilledAfterTheEffect
            | Fault::InstanceDies
    )
}

/// Lets a future run on a machine of its own, whose time passes as soon as nothing is left to do.
pub fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

/// The Tasks that a scenario comes to when nothing goes wrong.
pub fn reached(scenario: Scenario) -> BTreeSet<(String, String)> {
    in_virtual_time(async {
        let world = Arc::new(World::new(Variation::default()).await);
        scenario.prepare(&world).await;
        let reached = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let seen = reached.clone();
        world.executions.listen(move |happening| {
            if happening.event_type == EventType::TaskStateEntered {
                let machine = happening.state_machine.split('/').next().unwrap_or_default();
                seen.lock().unwrap().insert((machine.to_owned(), happening.state.clone()));
            }
        });
        scenario.begin(&world).await;
        finish(&world).await;
        // The guard ends before what it guards.
        std::mem::take(&mut *reached.lock().unwrap())
    })
}

/// The Tasks among those reached that can be struck by a fault.
pub fn targets_of(reached: &BTreeSet<(String, String)>, fault: Fault) -> Vec<Place> {
    places().into_iter().filter(|place| reached.contains(&place.name()) && applies(fault, place)).collect()
}

/// Lets the sweep come, beside the execution and after it, until nothing is left to do.
pub async fn finish(world: &World) {
    tokio::time::sleep(SWEEP_INTERVAL).await;
    world.settle().await;
}

/// One case; everything that did not hold in it.
pub fn violations_of(scenario: Scenario, place: &Place, fault: Fault, seed: u64) -> Vec<String> {
    violations_with(scenario, place, fault, Variation { seed, ..Variation::default() })
}

/// One case in a world that is different.
pub fn violations_with(scenario: Scenario, place: &Place, fault: Fault, variation: Variation) -> Vec<String> {
    in_virtual_time(async {
        let world = Arc::new(World::new(variation).await);
        scenario.prepare(&world).await;
        let before = Before::look(&world).await;
        // The first volume and the first snapshot that are to go with what they belong to stay behind.
        world.cloud.leave_behind_next(VOLUME, 1);
        world.cloud.leave_behind_next(SNAPSHOT, 1);
        let (state_machine, state) = place.name();
        world.faults.arm(Strike { state_machine, state, patience: place.patience(), fault });
        if place.task.integration == Integration::StartExecutionSync {
            strike_started_execution(&world, place, fault);
        }
        let run_id = scenario.begin(&world).await;
        if place.task.integration == Integration::StartExecutionSync
            && fault == Fault::PermanentBeforeTheEffect
        {
            take_the_names(&world, &run_id).await;
        }
        finish(&world).await;
        let mut found = violations(&world, &before).await;
        if is_survived(fault, place) {
            found.extend(not_as_if_nothing_had_happened(&world, scenario, place, fault, &run_id).await);
        }
        if world.faults.times() == 0 {
            found.push("the fault never struck".to_owned());
        }
        end_open_recoveries(&world).await;
        found.extend(violations(&world, &before).await.into_iter().map(|what| format!("in the end: {what}")));
        found.extend(convergence(&world).await);
        found.extend(violations(&world, &before).await.into_iter().map(|what| format!("afterwards: {what}")));
        found
    })
}

/// Whether a fault at this Task is made good by trying again or by the sweep, so that the run ends as if nothing had
/// happened.
fn is_survived(fault: Fault, place: &Place) -> bool {
    match fault {
        Fault::TransientTwice | Fault::AnswerLost | Fault::DeliveredTwice => true,
        Fault::TimedOutBeforeALateEffect => place.task.integration == Integration::LambdaInvoke,
        // The sweep has to come before the state gives up.
        Fault::CallbackLost => place.patience() >= 2 * SWEEP_INTERVAL,
        _ => false,
    }
}

async fn not_as_if_nothing_had_happened(
    world: &World,
    scenario: Scenario,
    place: &Place,
    fault: Fault,
    run_id: &RunId,
) -> Option<String> {
    let report = world.register.report(run_id).await.unwrap()?;
    let wanted = scenario.outcome();
    // A refresh that hangs before it has the lease may find that the sweep started another one meanwhile.
    let hangs = fault == Fault::TimedOutBeforeALateEffect;
    if hangs && place.task.function_name == "plan-refresh" && report.outcome == Outcome::Coalesced {
        return None;
    }
    (report.outcome != wanted)
        .then(|| format!("ended as {} and not as {wanted}: {}", report.outcome, report.cause))
}

/// A person ends what was kept for them.
pub async fn end_open_recoveries(world: &World) {
    for (_, run_id) in world.executions.runs() {
        let run = world.register.run(&run_id).await.unwrap();
        if let Some(run) = run
            && world.is_open_disaster(&run).await
        {
            world.living_host().end_recovery(&run_id).await.unwrap();
        }
    }
    world.settle().await;
}

/// Executions of this name were started by somebody else before.
async fn take_the_names(world: &World, run_id: &RunId) {
    let host = world.living_host();
    let name = format!("{run_id}-0-0");
    let input = json!({ "run_id": run_id, "plan_id": "", "machines": [] });
    host.workflow().start_execution("recover-service", &name, input).await.unwrap();
    world.faults.count();
}

/// Strikes a Task that starts an execution, by what its own execution tells.
fn strike_started_execution(world: &Arc<World>, place: &Place, fault: Fault) {
    let (state_machine, state) = place.name();
    let struck = std::sync::atomic::AtomicBool::new(false);
    let world = Arc::downgrade(world);
    let upgraded = world.upgrade().unwrap();
    upgraded.executions.listen(move |happening| {
        let is_there =
            happening.state_machine.split('/').next() == Some(&state_machine) && happening.state == state;
        let moment = match fault {
            Fault::KilledBeforeTheEffect => EventType::TaskStateEntered,
            _ => EventType::TaskSubmitted,
        };
        if fault == Fault::PermanentBeforeTheEffect || !is_there || happening.event_type != moment {
            return;
        }
        if struck.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        let world = world.clone();
        tokio::spawn(async move {
            let Some(world) = world.upgrade() else { return };
            world.faults.count();
            strike_world(&world, fault).await;
        });
    });
}

async fn strike_world(world: &World, fault: Fault) {
    match fault {
        Fault::KilledBeforeTheEffect | Fault::KilledAfterTheEffect => world.kill(),
        Fault::PermanentAfterTheEffect => {
            // Right after a replica was launched.
            tokio::time::sleep(Duration::from_secs(10)).await;
            let host = world.living_host();
            let executions = host.runner().executions();
            let started = executions.iter().find(|execution| execution.state_machine == "recover-service");
            let name = &started.unwrap().name;
            host.runner().stop_execution("recover-service", name, "Stopped", "by a person").await.unwrap();
        }
        _ => {
            tokio::time::sleep(Duration::from_secs(40)).await;
            let runs = world.executions.runs();
            let (_, run_id) = runs.last().unwrap();
            world.surroundings().switch_off_instances(run_id);
        }
    }
}
