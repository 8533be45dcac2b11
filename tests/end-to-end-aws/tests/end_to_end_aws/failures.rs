//! What goes wrong is told under its own name, leaves nothing, and leaves the last good image current.

use rekindle_end_to_end_aws_tests::command_line::aws;
use rekindle_end_to_end_aws_tests::customer::{SLOW_PROBE, Wishes};
use rekindle_end_to_end_aws_tests::executions;
use rekindle_end_to_end_aws_tests::restored_table::Misled;
use rekindle_end_to_end_aws_tests::world::World;

#[test]
#[ignore = "needs the emulators"]
fn a_verification_that_does_not_hold_registers_nothing() {
    // No restore can give the answer that production gave.
    let world = World::with(Wishes { probe: "SELECT random()", ..Wishes::ordinary("unproven") });
    world.onboard();
    world.back_up();
    let failed = world.failed_refresh();
    assert_eq!(failed["run"]["outcome"], "VerificationFailed", "{failed}");
    assert!(world.images().is_empty());
    world.wait_until_nothing_runs();
}

#[test]
#[ignore = "needs the emulators"]
fn a_region_without_the_instance_type_says_so() {
    let world = World::with(Wishes { instance_types: vec!["x9.nonexistent"], ..Wishes::ordinary("scarce") });
    world.onboard();
    world.back_up();
    let failed = world.failed_call("start-instance");
    assert_eq!(failed["error"], "Cloud.NoCapacity", "{failed}");
    assert!(failed["cause"].as_str().unwrap().contains("x9.nonexistent"), "{failed}");

    // Step Functions fails a state whose function fails. The emulator goes on waiting where the state waits for a token.
    let run_id = failed["span"]["run_id"].as_str().unwrap();
    let execution = executions::of_run(world.deployment.output("RefreshImageStateMachineArn"), run_id);
    aws(&["stepfunctions", "stop-execution", "--execution-arn", &execution]);
    world.swept(run_id);
    assert!(world.images().is_empty() && world.machines.described().is_empty());
}

#[test]
#[ignore = "needs the emulators"]
fn the_next_type_is_taken_where_the_first_cannot_be_had() {
    let world = World::with(Wishes {
        instance_types: vec!["x9.nonexistent", "t3.medium"],
        ..Wishes::ordinary("second-choice")
    });
    world.onboard();
    world.back_up();
    world.image_number(1);
    world.wait_until_nothing_runs();
}

#[test]
#[ignore = "needs the emulators"]
fn an_agent_that_dies_is_found_out_by_the_sweep() {
    let world = World::with(Wishes { probe: SLOW_PROBE, ..Wishes::ordinary("silent") });
    world.onboard();
    world.back_up();
    let execution = world.refresh_in("Verify");
    world.machines.hang();
    assert_eq!(executions::status(&execution), "RUNNING");
    assert_found_out(&world, &execution);
}

#[test]
#[ignore = "needs the emulators"]
fn a_machine_that_never_boots_is_found_out_by_the_sweep() {
    let world = World::new("dark");
    world.onboard();
    world.machines.hang();
    world.back_up();
    let execution = world.refresh_with_a_builder();
    assert_found_out(&world, &execution);
}

/// Nobody waits in a test until silence is noticed: it began an hour ago.
fn assert_found_out(world: &World, execution: &str) {
    world.silence(executions::run_of(execution));
    world.sweep().unwrap();
    let failed = executions::ended(execution);
    assert_eq!(failed["error"], "Agent.Silent", "{failed}");
    world.wait_until_nothing_runs();
}

#[test]
#[ignore = "needs the emulators"]
fn an_image_that_cannot_be_registered_is_removed() {
    let world = World::new("unregistered");
    world.onboard();
    let misled = Misled::tell("register", "rekindle-e2e-no-such-table");
    world.back_up();
    let failed = world.failed_refresh();
    drop(misled);
    assert_eq!(failed["run"]["outcome"], "Failed", "{failed}");
    let run_id = failed["run"]["run_id"].as_str().unwrap();
    let call = world.failed_call("register");
    assert_eq!(call["span"]["run_id"], run_id, "{call}");
    assert!(world.images().is_empty());
    let left = world.left_of_run(run_id);
    assert!(left.is_empty(), "{left:?}");
}

#[test]
#[ignore = "needs the emulators"]
fn an_execution_that_is_stopped_from_outside_is_cleaned_up_by_the_sweep() {
    let world = World::new("stopped");
    world.onboard();
    world.machines.hang();
    world.back_up();
    let execution = world.refresh_with_a_builder();
    aws(&[
        "stepfunctions",
        "stop-execution",
        "--execution-arn",
        &execution,
        "--cause",
        "an operator's mistake",
    ]);
    let run = world.swept(executions::run_of(&execution));
    assert_eq!(run["run"]["outcome"], "LeftForSweep", "{run}");
    // The set still waits for its image, so the sweep starts another refresh.
    world.machines.recover_from_hanging();
    world.image_number(1);
    world.wait_until_nothing_runs();
}
