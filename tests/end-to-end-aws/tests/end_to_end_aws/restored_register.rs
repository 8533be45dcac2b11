//! The register is restored to an earlier time. Its name puts it after the other tests: they stay on the restored table.

use rekindle_end_to_end_aws_tests::customer::rows;
use rekindle_end_to_end_aws_tests::executions;
use rekindle_end_to_end_aws_tests::patience::eventually;
use rekindle_end_to_end_aws_tests::restored_table::{restore, take_into_use};
use rekindle_end_to_end_aws_tests::world::World;
use serde_json::{Value, json};

const RESTORED: &str = "rekindle-e2e-restored-1";

#[test]
#[ignore = "needs the emulators"]
fn a_restored_register_halts_recovers_what_it_has_and_takes_back_what_it_forgot() {
    let world = World::new("restored");
    world.onboard();
    world.sweep().unwrap(); // Gives the register its epoch.
    world.back_up();
    let first = world.image_number(1);
    world.ended(first["run_id"].as_str().unwrap());
    world.wait_until_nothing_runs();
    let known = rows(world.customer.production().root());

    let table = world.deployment.output("TableName");
    restore(table, RESTORED);
    world.customer.write_orders(20);
    world.back_up();
    let forgotten = world.image_number(2);
    world.ended(forgotten["run_id"].as_str().unwrap());
    world.wait_until_nothing_runs();
    take_into_use(table, RESTORED);
    // The emulator goes on waiting where the function of a waiting state failed, and a rebuild waits for that.
    executions::stop_all(world.deployment.output("RefreshImageStateMachineArn"));

    let halted = world.sweep().expect_err("the sweep went on");
    assert_eq!(halted["errorType"], "Register.Restored", "{halted}");
    assert_eq!(image_ids(&world), [first["image_id"].clone()]);
    assert!(!world.parts_of_image(forgotten["image_id"].as_str().unwrap()).is_empty());

    // A disaster is recovered from what is known.
    let run_id = world.declare_disaster();
    assert_eq!(world.ended(&run_id)["run"]["outcome"], "Recovered");
    let report = world.report(&run_id);
    let replica = report["recovery"]["services"][0]["replicas"][0]["instance_id"].as_str().unwrap();
    assert_eq!(rows(&world.machines.disk(replica).expect("the replica does not run")), known);

    let shown = rebuild(&world, &json!({"client_token": "look", "mode": "dry-run"}), "shown");
    let confirmed = json!({"client_token": "act", "mode": "act", "confirm": shown["findings_digest"]});
    rebuild(&world, &confirmed, "done");
    assert_eq!(image_ids(&world), [forgotten["image_id"].clone(), first["image_id"].clone()]);

    // Nothing was ended while the register was halted; the sweep does it now.
    world.end_recovery(&run_id);
    world.wait_until_nothing_runs();
    world.customer.write_orders(20);
    world.back_up();
    world.image_number(3);
    world.wait_until_nothing_runs();
}

/// What the register knows, the newest first.
fn image_ids(world: &World) -> Vec<Value> {
    world.images().iter().map(|image| image["image_id"].clone()).collect()
}

/// Asks for it, and sweeps until it has come that far.
fn rebuild(world: &World, body: &Value, state: &str) -> Value {
    world.operator().ask("POST", "/v1/register/rebuild", Some(body)).good();
    eventually(&format!("a rebuild that is {state}"), || {
        let _ = world.sweep(); // It fails as long as the register is halted, and says so on standard error.
        let rebuild = world.rebuild();
        (rebuild["state"] == state).then_some(rebuild)
    })
}
