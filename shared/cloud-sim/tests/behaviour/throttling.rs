use std::time::Duration;

use rekindle_cloud::{CloudErrorKind, CloudProvider as _};
use rekindle_cloud_sim::Behaviour;
use rekindle_domain::RunId;
use tokio::time::Instant;

use crate::{cloud, kind_of, request, seconds, unknown_instance};

/// So that a call takes no time in which a bucket is refilled.
fn instant_calls() -> Behaviour {
    Behaviour { call_time: Duration::ZERO, ..Behaviour::default() }
}

#[tokio::test(start_paused = true)]
async fn five_launches_at_once_and_then_two_in_each_second() {
    let cloud = cloud(instant_calls());
    let run_id = RunId::mint();
    let mut number = 0;
    let mut next = || {
        number += 1;
        request(&run_id, &format!("token-{number}"))
    };
    for _ in 0..5 {
        cloud.launch(&next()).await.unwrap();
    }
    assert_eq!(kind_of(cloud.launch(&next()).await), CloudErrorKind::Throttled);
    seconds(1).await;
    for _ in 0..2 {
        cloud.launch(&next()).await.unwrap();
    }
    assert_eq!(kind_of(cloud.launch(&next()).await), CloudErrorKind::Throttled);
    seconds(3600).await;
    for _ in 0..5 {
        cloud.launch(&next()).await.unwrap();
    }
    assert_eq!(kind_of(cloud.launch(&next()).await), CloudErrorKind::Throttled);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_launches_take_as_long_as_the_bucket_says() {
    let cloud = cloud(instant_calls());
    let run_id = RunId::mint();
    let start = Instant::now();
    for number in 0..1000 {
        let launch = request(&run_id, &format!("token-{number}"));
        while cloud.launch(&launch).await.is_err() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    // (1000 - 5) / 2 per second.
    assert_eq!(start.elapsed(), Duration::from_millis(497_500));
}

#[tokio::test(start_paused = true)]
async fn describing_and_terminating_have_buckets_of_their_own() {
    let cloud = cloud(instant_calls());
    for _ in 0..100 {
        assert_eq!(kind_of(cloud.describe_instance(&unknown_instance()).await), CloudErrorKind::NotFound);
        cloud.terminate(&unknown_instance()).await.unwrap();
    }
    assert_eq!(kind_of(cloud.describe_instance(&unknown_instance()).await), CloudErrorKind::Throttled);
    assert_eq!(kind_of(cloud.find_by_run(&RunId::mint()).await), CloudErrorKind::Throttled);
    assert_eq!(kind_of(cloud.terminate(&unknown_instance()).await), CloudErrorKind::Throttled);
    cloud.find_image("image").await.unwrap();
    cloud.delete_other("volume", "vol-unknown").await.unwrap();
    cloud.launch(&request(&RunId::mint(), "token")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn throttling_can_be_switched_off() {
    let cloud = cloud(Behaviour { throttling: false, ..instant_calls() });
    let run_id = RunId::mint();
    for number in 0..50 {
        cloud.launch(&request(&run_id, &format!("token-{number}"))).await.unwrap();
    }
}
