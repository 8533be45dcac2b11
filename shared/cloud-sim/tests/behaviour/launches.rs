use rekindle_cloud::{CloudErrorKind, CloudProvider as _, InstanceState, MACHINE_TAG, RUN_TAG, Resource};
use rekindle_domain::{ImageId, RunId};

use crate::{
    image_request, kind_of, minutes, obliging_cloud, request, seconds, stopped_instance, unknown_instance,
};

#[tokio::test(start_paused = true)]
async fn an_instance_is_pending_then_running_and_carries_its_tags() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let instance = cloud.launch(&request(&run_id, "token")).await.unwrap();
    assert_eq!(instance.state, InstanceState::Pending);
    assert_eq!(instance.tags[RUN_TAG], run_id.as_str());
    assert_eq!(instance.tags[MACHINE_TAG], "acme/orders/database");
    seconds(19).await;
    let look = cloud.describe_instance(&instance.instance_id).await.unwrap();
    assert_eq!(look.state, InstanceState::Pending);
    seconds(1).await;
    let look = cloud.describe_instance(&instance.instance_id).await.unwrap();
    assert_eq!(look.state, InstanceState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_token_gives_one_instance_in_each_zone() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let first = request(&run_id, "token");
    let instance = cloud.launch(&first).await.unwrap();
    assert_eq!(cloud.launch(&first).await.unwrap().instance_id, instance.instance_id);
    let mut elsewhere = first.clone();
    elsewhere.zone = "sim-1b".to_owned();
    assert_ne!(cloud.launch(&elsewhere).await.unwrap().instance_id, instance.instance_id);
    let mut another = first;
    another.instance_type = "m7i.xlarge".to_owned();
    assert_eq!(kind_of(cloud.launch(&another).await), CloudErrorKind::Refused);
    assert_eq!(cloud.truth_resources(&run_id).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_terminated_instance_is_refused() {
    let cloud = obliging_cloud();
    let first = request(&RunId::mint(), "token");
    let instance = cloud.launch(&first).await.unwrap();
    cloud.terminate(&instance.instance_id).await.unwrap();
    assert_eq!(kind_of(cloud.launch(&first).await), CloudErrorKind::Refused);
    minutes(120).await;
    assert_eq!(kind_of(cloud.launch(&first).await), CloudErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_token_has_at_most_64_characters() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    for token in ["", "ä", &"t".repeat(65)] {
        assert_eq!(kind_of(cloud.launch(&request(&run_id, token)).await), CloudErrorKind::Refused);
    }
    cloud.launch(&request(&run_id, &"t".repeat(64))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn capacity_runs_out_for_each_type_and_zone_and_comes_back() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    cloud.set_capacity("m7i.large", "sim-1a", 1);
    let instance = cloud.launch(&request(&run_id, "one")).await.unwrap();
    assert_eq!(kind_of(cloud.launch(&request(&run_id, "two")).await), CloudErrorKind::NoCapacity);
    // The same token still gives the instance that has its place.
    cloud.launch(&request(&run_id, "one")).await.unwrap();
    let mut elsewhere = request(&run_id, "two");
    elsewhere.zone = "sim-1b".to_owned();
    cloud.launch(&elsewhere).await.unwrap();
    cloud.terminate(&instance.instance_id).await.unwrap();
    minutes(1).await;
    cloud.launch(&request(&run_id, "two")).await.unwrap();
    assert_eq!(kind_of(cloud.launch(&request(&run_id, "three")).await), CloudErrorKind::NoCapacity);
    cloud.lift_capacity_limit("m7i.large", "sim-1a");
    cloud.launch(&request(&run_id, "three")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_names_no_zone_goes_where_there_is_room() {
    let cloud = obliging_cloud();
    let mut anywhere = request(&RunId::mint(), "token");
    anywhere.zone = String::new();
    cloud.set_capacity("m7i.large", "sim-1a", 0);
    let instance = cloud.launch(&anywhere).await.unwrap();
    assert_eq!(cloud.simulated_instance(&instance.instance_id).unwrap().zone, "sim-1b");
    for zone in ["sim-1b", "sim-1c"] {
        cloud.set_capacity("m7i.large", zone, 0);
    }
    anywhere.client_token = "another".to_owned();
    assert_eq!(kind_of(cloud.launch(&anywhere).await), CloudErrorKind::NoCapacity);
}

#[tokio::test(start_paused = true)]
async fn only_an_available_image_can_be_started() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let mut launch = request(&run_id, "one");
    launch.image_id = ImageId::parse("ami-unknown").unwrap();
    assert_eq!(kind_of(cloud.launch(&launch).await), CloudErrorKind::NotFound);
    let instance = stopped_instance(&cloud, &run_id, "builder").await;
    let image = cloud.create_image(&image_request(&instance, &run_id, "image")).await.unwrap();
    launch.image_id = image.image_id.clone();
    assert_eq!(kind_of(cloud.launch(&launch).await), CloudErrorKind::WrongState);
    minutes(1).await;
    cloud.launch(&launch).await.unwrap();
    cloud.delete_image(&image.image_id).await.unwrap();
    launch.client_token = "two".to_owned();
    assert_eq!(kind_of(cloud.launch(&launch).await), CloudErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_terminated_instance_takes_its_volume_with_it_and_is_forgotten_after_an_hour() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let instance = cloud.launch(&request(&run_id, "token")).await.unwrap();
    cloud.terminate(&instance.instance_id).await.unwrap();
    cloud.terminate(&instance.instance_id).await.unwrap();
    let look = cloud.describe_instance(&instance.instance_id).await.unwrap();
    assert_eq!(look.state, InstanceState::ShuttingDown);
    assert_eq!(cloud.truth_resources(&run_id).len(), 1);
    minutes(1).await;
    let look = cloud.describe_instance(&instance.instance_id).await.unwrap();
    assert_eq!(look.state, InstanceState::Terminated);
    assert_eq!(cloud.truth_resources(&run_id), []);
    minutes(60).await;
    assert_eq!(kind_of(cloud.describe_instance(&instance.instance_id).await), CloudErrorKind::NotFound);
    cloud.terminate(&instance.instance_id).await.unwrap();
    cloud.terminate(&unknown_instance()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_volume_can_be_left_behind_and_is_deleted_on_its_own() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let instance = cloud.launch(&request(&run_id, "token")).await.unwrap();
    assert!(cloud.find_by_run(&run_id).await.unwrap().iter().all(|resource| resource.kind() == "instance"));
    let volume = cloud.truth_parts(&run_id).remove(0);
    assert_eq!(kind_of(cloud.delete_other("volume", volume.id()).await), CloudErrorKind::WrongState);
    cloud.leave_behind_next("volume", 1);
    cloud.terminate(&instance.instance_id).await.unwrap();
    minutes(1).await;
    assert_eq!(cloud.find_by_run(&run_id).await.unwrap(), std::slice::from_ref(&volume));
    assert!(matches!(&volume, Resource::Other { kind, .. } if kind == "volume"));
    for _ in 0..2 {
        cloud.delete_other("volume", volume.id()).await.unwrap();
        assert_eq!(cloud.all_truth(), []);
    }
}
