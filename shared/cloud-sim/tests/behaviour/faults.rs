use std::time::Duration;

use rekindle_cloud::{CloudErrorKind, CloudProvider as _};
use rekindle_cloud_sim::{Call, CallOutcome, Fault, Occurrence, Operation, SimulatedCloud, When};
use rekindle_domain::RunId;

use crate::{image_request, kind_of, minutes, obliging_cloud, request, seconds, stopped_instance};

fn inject(cloud: &SimulatedCloud, operation: Operation, occurrence: Occurrence, when: When) {
    cloud.inject(Fault { operation, occurrence, when, error: CloudErrorKind::Uncertain });
}

#[tokio::test(start_paused = true)]
async fn before_the_effect_nothing_is_made() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    for error in [CloudErrorKind::Throttled, CloudErrorKind::Refused, CloudErrorKind::NoCapacity] {
        cloud.inject(Fault {
            operation: Operation::Launch,
            occurrence: Occurrence::Nth(1),
            when: When::BeforeEffect,
            error: error.clone(),
        });
        assert_eq!(kind_of(cloud.launch(&request(&run_id, "token")).await), error);
    }
    assert_eq!(cloud.all_truth(), []);
    cloud.launch(&request(&run_id, "token")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_an_instance_that_its_token_finds() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    inject(&cloud, Operation::Launch, Occurrence::Nth(1), When::AfterEffect);
    let answer = cloud.launch(&request(&run_id, "token")).await.unwrap_err();
    assert!(answer.is_transient());
    assert_eq!(cloud.truth_resources(&run_id).len(), 1);
    cloud.launch(&request(&run_id, "token")).await.unwrap();
    assert_eq!(cloud.truth_resources(&run_id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_instance_can_come_late() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    inject(&cloud, Operation::Launch, Occurrence::Nth(1), When::LateEffect(Duration::from_secs(40)));
    assert_eq!(kind_of(cloud.launch(&request(&run_id, "token")).await), CloudErrorKind::Uncertain);
    assert_eq!(cloud.all_truth(), []);
    assert_eq!(cloud.pending_late_effects(), 1);
    seconds(40).await;
    assert_eq!(cloud.pending_late_effects(), 0);
    assert_eq!(cloud.truth_resources(&run_id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_effect_makes_no_second_instance_and_no_second_image() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    inject(&cloud, Operation::Launch, Occurrence::Nth(1), When::LateEffect(Duration::from_secs(5)));
    inject(&cloud, Operation::CreateImage, Occurrence::Nth(1), When::LateEffect(Duration::from_secs(5)));
    cloud.launch(&request(&run_id, "token")).await.unwrap_err();
    let instance = stopped_instance(&cloud, &run_id, "token").await;
    let image = image_request(&instance, &run_id, "image");
    cloud.create_image(&image).await.unwrap_err();
    cloud.create_image(&image).await.unwrap();
    minutes(1).await;
    assert_eq!(cloud.truth_resources(&run_id).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_image_and_a_termination_can_come_late() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let late = When::LateEffect(Duration::from_secs(30));
    let instance = stopped_instance(&cloud, &run_id, "token").await;
    inject(&cloud, Operation::CreateImage, Occurrence::Nth(1), late);
    inject(&cloud, Operation::Terminate, Occurrence::Nth(1), late);
    cloud.create_image(&image_request(&instance, &run_id, "image")).await.unwrap_err();
    cloud.terminate(&instance.instance_id).await.unwrap_err();
    assert_eq!(cloud.truth_resources(&run_id).len(), 1);
    assert_eq!(cloud.pending_late_effects(), 2);
    minutes(2).await;
    let kinds: Vec<String> =
        cloud.truth_resources(&run_id).iter().map(|resource| resource.kind().to_owned()).collect();
    assert_eq!(kinds, ["image"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_can_hang_with_and_without_its_effect() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    for (when, made) in [(When::Hang, 0), (When::HangAfterEffect, 1)] {
        inject(&cloud, Operation::Launch, Occurrence::Nth(1), when);
        let launch = request(&run_id, "token");
        let answer = tokio::time::timeout(Duration::from_hours(1), cloud.launch(&launch)).await;
        assert!(answer.is_err());
        assert_eq!(cloud.truth_resources(&run_id).len(), made);
        assert_eq!(cloud.call_log().last().unwrap().outcome, CallOutcome::Unanswered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_half_way_loses_the_answer_and_not_the_effect() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let launch = request(&run_id, "token");
    let answer = tokio::time::timeout(Duration::from_millis(150), cloud.launch(&launch)).await;
    assert!(answer.is_err());
    assert_eq!(cloud.truth_resources(&run_id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn faults_are_counted_from_their_injection() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let mut answers = Vec::new();
    cloud.find_by_run(&run_id).await.unwrap();
    inject(&cloud, Operation::FindByRun, Occurrence::Nth(2), When::BeforeEffect);
    for _ in 0..3 {
        answers.push(cloud.find_by_run(&run_id).await.is_ok());
    }
    inject(&cloud, Operation::FindByRun, Occurrence::Next(2), When::BeforeEffect);
    for _ in 0..3 {
        answers.push(cloud.find_by_run(&run_id).await.is_ok());
    }
    inject(&cloud, Operation::FindByRun, Occurrence::Always, When::AfterEffect);
    for _ in 0..3 {
        answers.push(cloud.find_by_run(&run_id).await.is_ok());
    }
    cloud.clear_faults();
    answers.push(cloud.find_by_run(&run_id).await.is_ok());
    let expected = [true, false, true, false, false, true, false, false, false, true];
    assert_eq!(answers, expected);
}

#[tokio::test(start_paused = true)]
async fn a_fault_can_be_meant_for_certain_calls_only() {
    let cloud = obliging_cloud();
    let (unlucky, lucky) = (RunId::mint(), RunId::mint());
    let meant = unlucky.clone();
    let fault = Fault {
        operation: Operation::FindByRun,
        occurrence: Occurrence::Nth(1),
        when: When::BeforeEffect,
        error: CloudErrorKind::Throttled,
    };
    cloud.inject_where(fault, move |call| matches!(call, Call::FindByRun(run_id) if *run_id == meant));
    cloud.find_by_run(&lucky).await.unwrap();
    assert_eq!(kind_of(cloud.find_by_run(&unlucky).await), CloudErrorKind::Throttled);
    cloud.find_by_run(&unlucky).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_call_is_logged_with_what_became_of_it() {
    let cloud = obliging_cloud();
    let run_id = RunId::mint();
    let launch = request(&run_id, "token");
    inject(&cloud, Operation::Launch, Occurrence::Nth(1), When::AfterEffect);
    cloud.launch(&launch).await.unwrap_err();
    cloud.launch(&launch).await.unwrap();
    cloud.find_by_run(&run_id).await.unwrap();
    let log: Vec<_> = cloud.call_log().into_iter().map(|record| (record.call, record.outcome)).collect();
    let expected = [
        (Call::Launch(launch.clone()), CallOutcome::Failed(CloudErrorKind::Uncertain)),
        (Call::Launch(launch), CallOutcome::Done),
        (Call::FindByRun(run_id), CallOutcome::Done),
    ];
    assert_eq!(log, expected);
}
