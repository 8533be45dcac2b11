//! A backup lands, the image is proven; a disaster is declared, it serves.

use rekindle_end_to_end_aws_tests::customer::{SSH_KEY_NAME, configured, rows};
use rekindle_end_to_end_aws_tests::executions;
use rekindle_end_to_end_aws_tests::world::World;

/// The limit of the issue for a refresh, polls not counted.
const MOST_TRANSITIONS: usize = 30;
/// States that only look whether something has come about; the first time belongs to the refresh itself.
const POLLED: [&str; 4] = ["EnsureImage", "IsImageAvailable", "Destroy", "IsAnythingLeft"];
const WAITS: [&str; 2] = ["WaitForImage", "WaitForDestruction"];

#[test]
#[ignore = "needs the emulators"]
fn a_backup_becomes_a_proven_image_and_a_disaster_is_recovered_from_it() {
    let world = World::new("orders");
    world.onboard();

    let first = world.back_up();
    let image = world.image_number(1);
    assert_eq!(image["backup_id"], first["backup_id"], "{image}");
    world.wait_until_nothing_runs();

    let revision = world.publish_configuration("open = true\n");
    let image = world.image_number(2);
    assert_eq!(image["revision"], revision, "{image}");
    assert_eq!(image["backup_id"], first["backup_id"], "{image}");
    world.wait_until_nothing_runs();

    world.customer.write_orders(50);
    world.back_up();
    let image = world.image_number(3);
    let refresh = image["run_id"].as_str().unwrap();
    world.ended(refresh);
    let mut left = world.left_of_run(refresh);
    left.sort();
    let mut kept = world.parts_of_image(image["image_id"].as_str().unwrap());
    kept.sort();
    assert_eq!(left, kept);
    count_transitions(&world, refresh);

    let expected = rows(world.customer.production().root());
    let run_id = world.declare_disaster();
    let run = world.ended(&run_id);
    assert_eq!(run["run"]["outcome"], "Recovered", "{run}");
    let report = world.report(&run_id);
    let replica = &report["recovery"]["services"][0]["replicas"][0];
    assert_eq!(replica["ssh_key_name"], SSH_KEY_NAME, "{report}");
    assert!(!replica["hostname"].as_str().unwrap().is_empty(), "{report}");
    assert!(!replica["ip_address"].as_str().unwrap().is_empty(), "{report}");

    let kept = world.kept_reports(&run_id);
    assert!(
        kept.iter().any(|key| key.ends_with(".json")) && kept.iter().any(|key| key.ends_with(".html")),
        "{kept:?}"
    );

    let instance = replica["instance_id"].as_str().unwrap();
    let disk = world.machines.disk(instance).expect("the replica does not run");
    assert_eq!(rows(&disk), expected);
    assert_eq!(configured(&disk), "open = true\n");
    let authorized = std::fs::read_to_string(disk.join("root/.ssh/authorized_keys")).unwrap();
    assert!(authorized.contains(&format!(" {SSH_KEY_NAME}\n")), "{authorized}");

    world.end_recovery(&run_id);
    world.wait_until_nothing_runs();
    let left = world.left_of_run(&run_id);
    assert!(left.is_empty(), "{left:?}");
}

fn count_transitions(world: &World, run_id: &str) {
    let execution = executions::of_run(world.deployment.output("RefreshImageStateMachineArn"), run_id);
    let entered = executions::entered_states(&execution);
    let polls = (0..entered.len()).filter(|place| is_poll(&entered, *place)).count();
    let steps = entered.len() - polls;
    println!("a refresh takes {steps} transitions, and {polls} of polls");
    assert!(steps <= MOST_TRANSITIONS && entered.iter().any(|state| state == "Register"), "{entered:?}");
}

fn is_poll(entered: &[String], place: usize) -> bool {
    let state = entered[place].as_str();
    WAITS.contains(&state) || POLLED.contains(&state) && entered[..place].iter().any(|before| before == state)
}
