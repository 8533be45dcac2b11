//! A rehearsal that the Scheduler starts: recovers, proves, destroys.

use jiff::{SignedDuration, Timestamp};
use rekindle_end_to_end_aws_tests::command_line::aws;
use rekindle_end_to_end_aws_tests::executions;
use rekindle_end_to_end_aws_tests::patience::eventually;
use rekindle_end_to_end_aws_tests::world::World;
use serde_json::{Value, json};

/// The stack's schedule of rehearsals.
const SCHEDULE: &str = "rekindle-e2e-rehearse";
const GROUP: &str = "rekindle-e2e";

#[test]
#[ignore = "needs the emulators"]
fn a_rehearsal_fires_and_leaves_nothing() {
    let world = World::new("rehearsed");
    world.onboard();
    world.back_up();
    world.image_number(1);
    world.wait_until_nothing_runs();

    schedule_once(&world);
    let recoveries = world.deployment.output("RecoverStateMachineArn").to_owned();
    let execution = eventually("the rehearsal", || {
        let all = executions::all(&recoveries);
        let rehearsed = json!(["rehearsed"]);
        all.into_iter().find(|execution| executions::input(execution)["services"] == rehearsed)
    });
    let ended = executions::ended(&execution);
    assert_eq!(ended["status"], "SUCCEEDED", "{ended}");
    let run_id = executions::run_of(&execution);
    let run = world.ended(run_id);
    assert_eq!(run["run"]["outcome"], "Recovered", "{run}");
    world.wait_until_nothing_runs();
    assert!(world.left_of_run(run_id).is_empty());
}

/// The stack's own schedule with another time: its target, its role and its input are what is tested. The emulator does
/// not fill in what Scheduler puts into the input, so this does.
fn schedule_once(world: &World) {
    let schedule = aws(&["scheduler", "get-schedule", "--name", SCHEDULE, "--group-name", GROUP]);
    let at = Timestamp::now() + SignedDuration::from_secs(3);
    let mut target = schedule["Target"].clone();
    let input = target["Input"].as_str().unwrap();
    let input = input
        .replace("<aws.scheduler.schedule-arn>", schedule["Arn"].as_str().unwrap())
        .replace("<aws.scheduler.scheduled-time>", &at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let mut input: Value = serde_json::from_str(&input).unwrap();
    input["services"] = json!([world.customer.machine.service_id]);
    target["Input"] = input.to_string().into();
    let expression = format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S"));
    let target = target.to_string();
    aws(&[
        &["scheduler", "create-schedule", "--name", "rehearse-once", "--group-name", GROUP][..],
        &["--schedule-expression", &expression, "--flexible-time-window", "Mode=OFF"],
        &["--action-after-completion", "DELETE", "--target", &target],
    ]
    .concat());
}
