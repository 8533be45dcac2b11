use std::time::Duration;

use rekindle_cloud::{CloudErrorKind, CloudProvider as _, InstanceState};
use rekindle_cloud_sim::Behaviour;
use rekindle_domain::RunId;

use crate::{cloud, image_request, kind_of, minutes, obliging_cloud, request, seconds, stopped_instance};

/// Calls that take no time, so that what was just made is too young to be seen by the next.
fn lagging() -> Behaviour {
    Behaviour { call_time: Duration::ZERO, ..Behaviour::default() }
}

#[tokio::test(start_paused = true)]
async fn what_is_young_is_unknown_and_found_by_nobody() {
    let cloud = cloud(lagging());
    let run_id = RunId::mint();
    let instance = cloud.launch(&request(&run_id, "token")).await.unwrap();
    assert_eq!(kind_of(cloud.describe_instance(&instance.instance_id).await), CloudErrorKind::NotFound);
    assert_eq!(cloud.find_by_run(&run_id).await.unwrap(), []);
    assert_eq!(cloud.truth_resources(&run_id).len(), 1);
    seconds(5).await;
    cloud.describe_instance(&instance.instance_id).await.unwrap();
    assert_eq!(cloud.find_by_run(&run_id).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_once_may_be_unknown_to_the_next_look() {
    let cloud = cloud(lagging());
    let instance = cloud.launch(&request(&RunId::mint(), "token")).await.unwrap();
    seconds(2).await;
    let mut looks = Vec::new();
    for _ in 0..20 {
        looks.push(cloud.describe_instance(&instance.instance_id).await.is_ok());
    }
    assert!(looks.windows(2).any(|pair| pair == [true, false]), "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_terminated_is_found_for_a_while() {
    let cloud = cloud(lagging());
    let run_id = RunId::mint();
    let instance = cloud.launch(&request(&run_id, "token")).await.unwrap();
    seconds(10).await;
    cloud.terminate(&instance.instance_id).await.unwrap();
    tokio::time::sleep(cloud.behaviour().termination_time + Duration::from_millis(1)).await;
    assert_eq!(cloud.truth_resources(&run_id), []);
    assert!(!cloud.find_by_run(&run_id).await.unwrap().is_empty());
    seconds(5).await;
    assert_eq!(cloud.find_by_run(&run_id).await.unwrap(), []);
    let look = cloud.describe_instance(&instance.instance_id).await.unwrap();
    assert_eq!(look.state, InstanceState::Terminated);
}

#[tokio::test(start_paused = true)]
async fn a_young_instance_is_unknown_to_terminate_too() {
    let cloud = cloud(lagging());
    let run_id = RunId::mint();
    let instance = cloud.launch(&request(&run_id, "token")).await.unwrap();
    cloud.terminate(&instance.instance_id).await.unwrap();
    minutes(1).await;
    assert_eq!(cloud.truth_resources(&run_id).len(), 1);
    cloud.terminate(&instance.instance_id).await.unwrap();
    minutes(1).await;
    assert_eq!(cloud.truth_resources(&run_id), []);
}

#[tokio::test(start_paused = true)]
async fn an_image_lags_by_its_id_and_by_its_name() {
    let cloud = cloud(lagging());
    let run_id = RunId::mint();
    let instance = stopped_instance(&cloud, &run_id, "builder").await;
    let image = cloud.create_image(&image_request(&instance, &run_id, "image")).await.unwrap();
    assert_eq!(kind_of(cloud.describe_image(&image.image_id).await), CloudErrorKind::NotFound);
    let again = cloud.create_image(&image_request(&instance, &run_id, "image")).await;
    assert_eq!(kind_of(again), CloudErrorKind::NameTaken);
    assert_eq!(cloud.find_image("image").await.unwrap(), None);
    minutes(2).await;
    assert!(cloud.find_image("image").await.unwrap().is_some());
    cloud.delete_image(&image.image_id).await.unwrap();
    cloud.describe_image(&image.image_id).await.unwrap();
    seconds(5).await;
    assert_eq!(kind_of(cloud.describe_image(&image.image_id).await), CloudErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_cloud_without_lag_is_always_current() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let instance = cloud.launch(&request(&run_id, "token")).await.unwrap();
    cloud.describe_instance(&instance.instance_id).await.unwrap();
    assert_eq!(cloud.find_by_run(&run_id).await.unwrap(), cloud.truth_resources(&run_id));
    assert_eq!(cloud.find_by_run(&RunId::mint()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn it_says_what_it_is_like() {
    let characteristics = obliging_cloud().characteristics();
    assert_eq!(characteristics.name, "sim");
    assert_eq!(characteristics.settling_time.as_secs(), 600);
    assert_eq!(characteristics.poll_interval.as_secs(), 15);
}
