//! Events doubled, reordered and coalesced; work that fails; a cloud that lags.

use std::time::Duration;

use rekindle_cloud::CloudErrorKind;
use rekindle_cloud_sim::{Behaviour, Call, Fault as CloudFault, Occurrence, Operation, When};
use rekindle_domain::{BackupKind, Flow, HumanTaskStatus, Outcome, SetPosition};
use rekindle_flow_tests::faults::Fault;
use rekindle_flow_tests::matrix::{in_virtual_time, places, violations_with};
use rekindle_flow_tests::scenario::{Scenario, prepare_image};
use rekindle_flow_tests::world::customer::orders_database;
use rekindle_flow_tests::world::{Variation, World};
use rekindle_step::Clock as _;

use super::{images, minutes, outcomes, refreshed, settled, world};
use crate::teeth::twice;

#[test]
fn every_step_may_run_twice() {
    for scenario in Scenario::ALL {
        in_virtual_time(async {
            let variation = Variation { breakage: Some(twice()), ..Variation::default() };
            let world = std::sync::Arc::new(World::new(variation).await);
            scenario.prepare(&world).await;
            let before = images(&world, &orders_database()).await.len();
            scenario.begin(&world).await;
            rekindle_flow_tests::matrix::finish(&world).await;
            let made = images(&world, &orders_database()).await.len() - before;
            assert_eq!(made, usize::from(scenario.flow() == Flow::RefreshImage), "{scenario:?}");
            settled(&world).await;
        });
    }
}

#[test]
fn ten_events_at_once_lead_to_one_image() {
    in_virtual_time(async {
        let world = world().await;
        let machine = orders_database();
        world.back_up(&machine, BackupKind::Full);
        let host = world.living_host();
        let mut runs = Vec::new();
        for _ in 0..10 {
            runs.push(host.start_refresh(&machine).await.unwrap());
        }
        for run_id in &runs {
            host.wait(Flow::RefreshImage, run_id).await.unwrap();
        }
        settled(&world).await;
        let outcomes = outcomes(&world).await;
        let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
        assert_eq!(count(Outcome::Refreshed), 1, "{outcomes:?}");
        assert_eq!(count(Outcome::Coalesced), 9, "{outcomes:?}");
        assert_eq!(count(Outcome::NothingToDo), outcomes.len() - 10, "{outcomes:?}");
        assert_eq!(images(&world, &machine).await.len(), 1);
    });
}

#[test]
fn sets_in_the_wrong_order_lead_to_the_newest() {
    in_virtual_time(async {
        let world = world().await;
        let machine = orders_database();
        let full = world.backups.take(&machine, BackupKind::Full, None, world.clock.now());
        let next = world.backups.take(&machine, BackupKind::Incremental, None, world.clock.now());
        world.backups.publish(&world.store, &next.set);
        let (_, first) = refreshed(&world, &machine).await;
        assert_eq!(first.outcome, Outcome::Refused, "{}", first.cause);
        assert!(first.cause.contains("no complete chain"), "{}", first.cause);
        world.backups.publish(&world.store, &full.set);
        let (_, second) = refreshed(&world, &machine).await;
        assert_eq!(second.outcome, Outcome::Refreshed, "{}", second.cause);
        assert_eq!(images(&world, &machine).await[0].position, next.set.position);
        settled(&world).await;
    });
}

/// Whether a set that arrives while a refresh is at work is registered although no sweep ever comes.
pub async fn registers_what_arrives_meanwhile(world: &World) -> bool {
    let machine = orders_database();
    world.back_up(&machine, BackupKind::Full);
    let host = world.living_host();
    host.start_refresh(&machine).await.unwrap();
    minutes(2).await;
    let next = world.back_up(&machine, BackupKind::Incremental);
    world.refresh(&machine).await;
    minutes(60).await;
    images(world, &machine).await.first().is_some_and(|image| image.position == next.set.position)
}

#[test]
fn what_arrives_while_a_refresh_is_at_work_is_not_lost() {
    in_virtual_time(async {
        let world = world().await;
        assert!(registers_what_arrives_meanwhile(&world).await);
        settled(&world).await;
        let outcomes = outcomes(&world).await;
        assert_eq!(outcomes, [Outcome::Refreshed, Outcome::Coalesced, Outcome::Refreshed]);
    });
}

#[test]
fn work_that_fails_three_times_is_set_aside_and_a_person_is_asked() {
    in_virtual_time(async {
        let world = world().await;
        let machine = orders_database();
        prepare_image(&world, &machine).await;
        world.settle().await;
        let good = images(&world, &machine).await;
        let bad = world.back_up(&machine, BackupKind::Incremental);
        world.agents.garble(&bad.set.backup_id, true);
        world.sweep_for(Duration::from_hours(6)).await;
        let failed = outcomes(&world).await.iter().filter(|o| **o == Outcome::VerificationFailed).count();
        assert_eq!(failed, 3);
        let (execution, report) = refreshed(&world, &machine).await;
        assert_eq!(execution.error.as_deref(), Some("Quarantined"));
        assert_eq!(report.outcome, Outcome::Quarantined);
        assert!(report.cause.contains("probe"), "{}", report.cause);
        let questions = world.register.open_human_tasks().await.unwrap();
        assert_eq!(questions.iter().map(|task| task.status).collect::<Vec<_>>(), [HumanTaskStatus::Ready]);
        assert_eq!(images(&world, &machine).await, good);
        // A new full set is other work.
        world.back_up(&machine, BackupKind::Full);
        assert_eq!(refreshed(&world, &machine).await.1.outcome, Outcome::Refreshed);
        settled(&world).await;
    });
}

#[test]
fn a_verdict_that_does_not_hold_makes_no_image() {
    in_virtual_time(async {
        let world = world().await;
        let machine = orders_database();
        let bad = world.back_up(&machine, BackupKind::Full);
        world.agents.garble(&bad.set.backup_id, true);
        let (execution, report) = refreshed(&world, &machine).await;
        assert_eq!(execution.error.as_deref(), Some("Refresh.VerificationFailed"));
        assert_eq!(report.outcome, Outcome::VerificationFailed);
        assert!(report.cause.contains("probe"), "{}", report.cause);
        let made = |call: &Call| call.operation() == Operation::CreateImage;
        assert!(!world.cloud.call_log().iter().any(|record| made(&record.call)), "it was saved all the same");
        settled(&world).await;
    });
}

#[test]
fn a_new_history_waits_for_a_person() {
    in_virtual_time(async {
        let world = world().await;
        let machine = orders_database();
        prepare_image(&world, &machine).await;
        let position = SetPosition { incarnation: 2, sequence: 1 };
        let forked = world.backups.take_at(&machine, BackupKind::Full, None, world.clock.now(), position);
        world.backups.publish(&world.store, &forked.set);
        let (_, report) = refreshed(&world, &machine).await;
        assert_eq!(report.outcome, Outcome::Quarantined, "{}", report.cause);
        assert_eq!(images(&world, &machine).await.len(), 1);
        assert_eq!(world.register.open_human_tasks().await.unwrap().len(), 1);
        settled(&world).await;
    });
}

#[test]
fn without_capacity_it_goes_along_zones_and_types_and_then_says_so() {
    in_virtual_time(async {
        let world = world().await;
        let machine = orders_database();
        world.back_up(&machine, BackupKind::Full);
        for kind in ["m7i.large", "m6i.large"] {
            world.cloud.set_capacity(kind, "sim-1a", 0);
            world.cloud.set_capacity(kind, "sim-1b", 0);
        }
        let (execution, report) = refreshed(&world, &machine).await;
        assert_eq!(execution.error.as_deref(), Some("Cloud.NoCapacity"));
        assert_eq!(report.outcome, Outcome::Failed);
        let tried = |record: &rekindle_cloud_sim::CallRecord| match &record.call {
            Call::Launch(request) => Some((request.instance_type.clone(), request.zone.clone())),
            _ => None,
        };
        let places: Vec<_> = world.cloud.call_log().iter().filter_map(tried).collect();
        let expected = [
            ("m7i.large", "sim-1a"),
            ("m7i.large", "sim-1b"),
            ("m6i.large", "sim-1a"),
            ("m6i.large", "sim-1b"),
        ];
        assert_eq!(places, expected.map(|(kind, zone)| (kind.to_owned(), zone.to_owned())));
        // That says nothing about the work: it is tried again as soon as there is room.
        world.cloud.lift_capacity_limit("m6i.large", "sim-1b");
        assert_eq!(refreshed(&world, &machine).await.1.outcome, Outcome::Refreshed);
        settled(&world).await;
    });
}

#[test]
fn an_image_that_the_provider_cannot_make_is_tried_again() {
    in_virtual_time(async {
        let world = world().await;
        let machine = orders_database();
        world.back_up(&machine, BackupKind::Full);
        world.cloud.fail_next_images(1);
        let (execution, _) = refreshed(&world, &machine).await;
        assert_eq!(execution.error.as_deref(), Some("Cloud.ImageFailed"));
        world.sweep_for(Duration::from_mins(30)).await;
        assert_eq!(images(&world, &machine).await.len(), 1);
        settled(&world).await;
    });
}

#[test]
fn a_cloud_that_lags_a_minute_changes_nothing() {
    let slow = Behaviour { lag: Duration::from_mins(1), ..Behaviour::default() };
    for place in places().iter().filter(|place| place.state_machine == Flow::RefreshImage.state_machine()) {
        for fault in [Fault::PermanentAfterTheEffect, Fault::KilledInTheMiddle] {
            let variation = Variation { behaviour: slow.clone(), ..Variation::default() };
            let found = violations_with(Scenario::Refresh, place, fault, variation);
            assert!(found.is_empty(), "{:?} {fault:?}: {}", place.name(), found.join("\n"));
        }
    }
}

#[test]
fn a_cloud_whose_answers_are_uncertain_leaves_nothing() {
    let report = places().into_iter().find(|place| place.task.function_name == "report").unwrap();
    for seed in 0..16 {
        let behaviour = Behaviour {
            uncertainty: 0.25,
            late_effect_within: Duration::from_mins(5),
            ..Behaviour::default()
        };
        let variation = Variation { seed, behaviour, ..Variation::default() };
        let found = violations_with(Scenario::Refresh, &report, Fault::AnswerLost, variation);
        assert!(found.is_empty(), "with seed {seed}: {}", found.join("\n"));
    }
}

/// A launch whose answer is lost with the process, and whose instance comes only after the first look for it.
pub async fn lose_a_launch(world: &World) {
    let launch = CloudFault {
        operation: Operation::Launch,
        occurrence: Occurrence::Nth(1),
        when: When::LateEffect(Duration::from_mins(6)),
        error: CloudErrorKind::Uncertain,
    };
    world.cloud.inject(launch);
    world.back_up(&orders_database(), BackupKind::Full);
    let host = world.living_host();
    host.start_refresh(&orders_database()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    world.kill();
    world.settle().await;
    minutes(10).await;
    world.settle().await;
}

#[test]
fn a_launch_that_comes_late_is_found_by_the_second_look() {
    in_virtual_time(async {
        let world = world().await;
        lose_a_launch(&world).await;
        settled(&world).await;
    });
}
