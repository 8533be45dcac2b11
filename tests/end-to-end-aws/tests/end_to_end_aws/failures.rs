//! What goes wrong ends under its own name, leaves nothing, and leaves the last good image current.

use rekindle_end_to_end_aws_tests::command_line::aws;
use rekindle_end_to_end_aws_tests::customer::Wishes;
use rekindle_end_to_end_aws_tests::executions;
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
    let world = World::new("silent");
    world.onboard();
    world.machines.hang();
    world.back_up();
    let execution = world.refresh_with_a_builder();
    world.silence(executions::run_of(&execution));
    world.sweep().unwrap();
    let failed = executions::ended(&execution);
    assert_eq!(failed["error"], "Agent.Silent", "{failed}");
    world.wait_until_nothing_runs();
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
