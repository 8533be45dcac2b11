//! Answers that are lost on their way, agents that fall silent, and an engine that does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rekindle_cloud_sim::Operation;
use rekindle_domain::{Flow, Outcome, RunId};
use rekindle_flow::EventType;
use rekindle_flow_tests::faults::{Fault, FirstAnswers, Strike};
use rekindle_flow_tests::matrix::{finish, in_virtual_time, places};
use rekindle_flow_tests::scenario::Scenario;
use rekindle_flow_tests::world::customer::orders_database;
use rekindle_flow_tests::world::{SWEEP_INTERVAL, Variation, World};
use rekindle_step::ErrorName;

use super::{minutes, report, settled, world};

/// Counts the Tasks that time out from now on.
fn time_outs(world: &World) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    world.executions.listen(move |happening| {
        if happening.event_type == EventType::TaskTimedOut {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    count
}

fn launches(world: &World) -> usize {
    let is_launch = |record: &&rekindle_cloud_sim::CallRecord| record.call.operation() == Operation::Launch;
    world.cloud.call_log().iter().filter(is_launch).count()
}

/// No agent was given up: neither by the engine nor by the sweep.
fn assert_nobody_was_given_up(world: &World, time_outs: &AtomicUsize) {
    assert_eq!(time_outs.load(Ordering::SeqCst), 0, "a Task timed out");
    let failures = world.faults.failures_told();
    assert!(!failures.iter().any(|name| name == ErrorName::AgentSilent.as_str()), "{failures:?}");
}

#[test]
fn when_every_first_answer_is_lost_the_sweep_sends_it_again_in_time() {
    for scenario in Scenario::ALL {
        in_virtual_time(async {
            let world = world().await;
            scenario.prepare(&world).await;
            let (before, time_outs) = (launches(&world), time_outs(&world));
            world.faults.let_first_answers(FirstAnswers::AreLost);
            let run_id = scenario.begin(&world).await;
            world.sweep_for(30 * SWEEP_INTERVAL).await;
            let told = report(&world, &run_id).await;
            assert_eq!(told.outcome, scenario.outcome(), "{scenario:?}: {}", told.cause);
            assert_nobody_was_given_up(&world, &time_outs);
            let launched = launches(&world) - before;
            if scenario.flow() == Flow::RefreshImage {
                assert_eq!(launched, 1, "{scenario:?}");
            }
            let lost = world.faults.first_answers_lost();
            assert!(lost > launched, "{scenario:?} lost {lost} answers only");
            settled(&world).await;
            assert_no_token_is_kept(&world, &run_id).await;
        });
    }
}

/// Tokens under which nobody waits are not kept while a run is at work. The last jobs of a recovery may end together with
/// it, and then nobody looks any more.
async fn assert_no_token_is_kept(world: &World, run_id: &RunId) {
    let run = world.register.run(run_id).await.unwrap().unwrap();
    if run.flow == Flow::Recover {
        return;
    }
    for job in world.register.jobs_of_run(run_id).await.unwrap() {
        assert_eq!(job.token.as_ref(), None, "{} keeps its token", job.job.id);
    }
}

#[test]
fn an_engine_that_cannot_be_reached_is_told_again_without_a_sweep() {
    for scenario in [Scenario::FirstRefresh, Scenario::Refresh] {
        in_virtual_time(async {
            let world = world().await;
            scenario.prepare(&world).await;
            let time_outs = time_outs(&world);
            world.faults.let_first_answers(FirstAnswers::AreRefused);
            let run_id = scenario.begin(&world).await;
            world.living_host().wait(Flow::RefreshImage, &run_id).await.unwrap();
            let told = report(&world, &run_id).await;
            assert_eq!(told.outcome, Outcome::Refreshed, "{}", told.cause);
            assert_nobody_was_given_up(&world, &time_outs);
            settled(&world).await;
        });
    }
}

/// A refresh whose instance dies in this state, on an engine that never fires a heartbeat time-out.
async fn dies_unnoticed(state: &str) {
    let variation = Variation { without_heartbeat_time_outs: true, ..Variation::default() };
    let world = Arc::new(World::new(variation).await);
    Scenario::Refresh.prepare(&world).await;
    let time_outs = time_outs(&world);
    let place = places().into_iter().find(|place| place.name().1 == state).unwrap();
    let (state_machine, state) = place.name();
    let patience = SWEEP_INTERVAL;
    world.faults.arm(Strike { state_machine, state: state.clone(), patience, fault: Fault::InstanceDies });
    let run_id = Scenario::Refresh.begin(&world).await;
    finish(&world).await;
    // Neither the engine's heartbeats nor its time-outs ended it.
    assert_eq!(time_outs.load(Ordering::SeqCst), 0, "{state} timed out");
    let silent: Vec<String> =
        world.faults.failures_told().into_iter().filter(|name| name == "Agent.Silent").collect();
    assert!(!silent.is_empty(), "{state} was never given up");
    let told = report(&world, &run_id).await;
    assert_eq!(told.outcome, Outcome::Failed, "{state}: {}", told.cause);
    assert!(told.cause.contains("nothing was heard of the agent"), "{state}: {}", told.cause);
    let execution = world.execution(&run_id).unwrap();
    assert_eq!(execution.error.as_deref(), Some("Agent.Silent"), "{state}");
    settled(&world).await;
    // The same work is done by a later run.
    minutes(40).await;
    world.settle().await;
    let latest = world.register.latest_image(&orders_database()).await.unwrap().unwrap();
    assert_eq!(latest.backup_id, world.backups.newest(&orders_database()).unwrap().set.backup_id);
}

#[test]
fn the_sweep_gives_up_a_silent_agent_that_the_engine_does_not_notice() {
    // An instance that goes off takes a moment, in which a job that is as short as a seal is still done.
    for state in ["StartInstance", "UpdateConfiguration", "TransferAndRestore", "Verify"] {
        in_virtual_time(dies_unnoticed(state));
    }
}

#[test]
fn the_sweep_leaves_an_agent_to_an_engine_that_notices() {
    in_virtual_time(async {
        let world = world().await;
        Scenario::FirstRefresh.prepare(&world).await;
        let time_outs = time_outs(&world);
        let place = places().into_iter().find(|place| place.name().1 == "Verify").unwrap();
        let (state_machine, state) = place.name();
        let strike = Strike { state_machine, state, patience: SWEEP_INTERVAL, fault: Fault::InstanceDies };
        world.faults.arm(strike);
        let run_id = Scenario::FirstRefresh.begin(&world).await;
        finish(&world).await;
        assert_eq!(time_outs.load(Ordering::SeqCst), 1);
        assert_eq!(world.faults.failures_told(), Vec::<String>::new());
        assert_eq!(report(&world, &run_id).await.outcome, Outcome::Failed);
        settled(&world).await;
    });
}
