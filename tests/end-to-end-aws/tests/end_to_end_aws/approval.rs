//! A recovery that is not approved beforehand waits for a person, and recovers the image that was asked for.

use rekindle_end_to_end_aws_tests::customer::{Wishes, rows};
use rekindle_end_to_end_aws_tests::patience::eventually;
use rekindle_end_to_end_aws_tests::world::{World, import_public_key};
use serde_json::{Value, json};

const ANOTHER_KEY: &str = "customer-other-key";

#[test]
#[ignore = "needs the emulators"]
fn an_older_image_is_recovered_once_another_person_approves() {
    let world = World::with(Wishes { approved_beforehand: vec![], ..Wishes::ordinary("approved") });
    import_public_key(ANOTHER_KEY);
    world.onboard();
    world.back_up();
    let older = world.image_number(1);
    let expected = rows(world.customer.production().root());
    world.wait_until_nothing_runs();
    world.customer.write_orders(50);
    world.back_up();
    world.image_number(2);
    world.wait_until_nothing_runs();

    let run_id = world.declare_disaster_with(json!({
        "TargetImageID": older["image_id"],
        "TargetImageSshKeyName": ANOTHER_KEY,
    }));
    let task = eventually("the question", || question(&world, &run_id));
    assert!(world.sweep().unwrap()["waiting_for_people"].as_u64().unwrap() >= 1);
    assert!(world.machines.described().iter().all(|instance| instance.run != run_id), "it did not wait");
    let path = format!("/v1/human-tasks/{}/decision", task["human_task_id"].as_str().unwrap());
    let decision = json!({"approved": true, "subject": task["subject"], "comment": "the older one is right"});
    let own = world.operator().ask("POST", &path, Some(&decision));
    assert_eq!((own.status, own.body["code"].as_str()), (403, Some("requester-cannot-decide")));
    world.another_operator().ask("POST", &path, Some(&decision)).good();

    assert_eq!(world.ended(&run_id)["run"]["outcome"], "Recovered");
    let report = world.report(&run_id);
    let replica = &report["recovery"]["services"][0]["replicas"][0];
    assert_eq!(replica["ssh_key_name"], ANOTHER_KEY, "{report}");
    let disk = world.machines.disk(replica["instance_id"].as_str().unwrap());
    assert_eq!(rows(&disk.expect("the replica does not run")), expected);
    world.end_recovery(&run_id);
    world.wait_until_nothing_runs();
}

fn question(world: &World, run_id: &str) -> Option<Value> {
    let tasks = world.operator().ask("GET", "/v1/human-tasks", None).good();
    tasks["items"].as_array()?.iter().find(|task| task["run_id"] == run_id).cloned()
}
