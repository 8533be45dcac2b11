//! What happens when it rains: events doubled, late and lost, sets that are not what they say, images that do not boot,
//! a cloud without capacity, and people who say no or nothing.

mod arrivals;
mod callbacks;
mod people;
mod recoveries;
pub mod refreshes;
mod restores;

use std::sync::Arc;
use std::time::Duration;

use rekindle_domain::{Flow, Image, MachineKey, Outcome, Report, RunId};
use rekindle_flow::Execution;
use rekindle_flow_tests::invariants::{Before, violations};
use rekindle_flow_tests::world::{Variation, World};

async fn world() -> Arc<World> {
    Arc::new(World::new(Variation::default()).await)
}

async fn minutes(count: u64) {
    tokio::time::sleep(Duration::from_mins(count)).await;
}

/// The report of a run.
async fn report(world: &World, run_id: &RunId) -> Report {
    world.register.report(run_id).await.unwrap().unwrap()
}

/// How a refresh of a machine ends: its execution and what is reported.
async fn refreshed(world: &World, machine: &MachineKey) -> (Execution, Report) {
    let run_id = world.refresh(machine).await;
    (world.execution(&run_id).unwrap(), report(world, &run_id).await)
}

/// How all refreshes so far were reported, in the order of their start.
async fn outcomes(world: &World) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (flow, run_id) in world.executions.runs() {
        if flow == Flow::RefreshImage {
            outcomes.push(report(world, &run_id).await.outcome);
        }
    }
    outcomes
}

async fn images(world: &World, machine: &MachineKey) -> Vec<Image> {
    world.register.images(machine).await.unwrap()
}

/// Sweeps until nothing is left to do, and checks everything that must always hold.
async fn settled(world: &World) {
    world.settle().await;
    let found = violations(world, &Before::default()).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}
