use rekindle_cloud::CloudProvider as _;
use rekindle_cloud_sim::{Behaviour, SimulatedCloud};
use rekindle_domain::RunId;

use crate::{cloud, minutes, request, seconds};

/// Many uncertain launches, each looked at again and again; all that was answered, in words.
async fn story(seed: u64, run_id: &RunId) -> (Vec<String>, SimulatedCloud) {
    let cloud = cloud(Behaviour { seed, uncertainty: 0.5, ..Behaviour::default() });
    let mut told = Vec::new();
    for number in 0..40 {
        let launch = cloud.launch(&request(run_id, &format!("token-{number}"))).await;
        told.push(format!("{launch:?}"));
        told.push(format!("{:?}", cloud.find_by_run(run_id).await));
        seconds(1).await;
    }
    (told, cloud)
}

#[tokio::test(start_paused = true)]
async fn one_seed_tells_one_story() {
    let run_id = RunId::mint();
    let first = story(7, &run_id).await.0;
    assert_eq!(story(7, &run_id).await.0, first);
    assert_ne!(story(8, &run_id).await.0, first);
}

#[tokio::test(start_paused = true)]
async fn uncertain_calls_have_their_effect_or_not_or_late() {
    let run_id = RunId::mint();
    let (told, cloud) = story(7, &run_id).await;
    let failed = told.iter().filter(|answer| answer.contains("Uncertain")).count();
    let made = |cloud: &SimulatedCloud| cloud.truth_resources(&run_id).len();
    let made_by_then = made(&cloud);
    let late = cloud.pending_late_effects();
    assert!(late > 0);
    assert!((40 - failed + 1..40).contains(&made_by_then), "{failed} failed, {made_by_then} made");
    minutes(1).await;
    assert_eq!(cloud.pending_late_effects(), 0);
    assert_eq!(made(&cloud), made_by_then + late);
    assert!(made(&cloud) < 40);
}
