//! Recoveries: without anything proven, from older images, in waves, along zones, kept and ended.

use jiff::Timestamp;
use rekindle_cloud::Purpose;
use rekindle_cloud_sim::Call;
use rekindle_domain::{BackupKind, Outcome, RecoveryKind, Report, RunId};
use rekindle_flow_tests::matrix::{end_open_recoveries, finish, in_virtual_time};
use rekindle_flow_tests::scenario::Scenario;
use rekindle_flow_tests::world::World;
use rekindle_flow_tests::world::customer::{machines, orders_database};

use super::{refreshed, report, settled, world};

/// A recovery from its beginning to its end.
async fn carried_out(scenario: Scenario) -> (std::sync::Arc<World>, RunId, Report) {
    recovered(scenario, async |_| {}).await
}

/// A recovery in a world that was changed before it began.
async fn recovered(
    scenario: Scenario,
    change: impl AsyncFnOnce(&World),
) -> (std::sync::Arc<World>, RunId, Report) {
    let world = world().await;
    scenario.prepare(&world).await;
    change(&world).await;
    let run_id = scenario.begin(&world).await;
    finish(&world).await;
    settled(&world).await;
    let report = report(&world, &run_id).await;
    (world, run_id, report)
}

fn serving_since(report: &Report, service: &str) -> Vec<Timestamp> {
    let services = report.recovery.iter().flat_map(|recovery| &recovery.services);
    let of_service = services.filter(|facts| facts.service.service_id.as_str() == service);
    of_service.flat_map(|facts| &facts.replicas).filter_map(|replica| replica.serving_since).collect()
}

#[test]
fn a_rehearsal_leaves_nothing() {
    in_virtual_time(async {
        let (world, run_id, report) = carried_out(Scenario::Rehearsal).await;
        assert_eq!(report.outcome, Outcome::Recovered, "{}", report.cause);
        assert_eq!(world.cloud.truth_resources(&run_id), []);
        let launches = world.cloud.call_log();
        let isolated = launches.iter().filter_map(|record| match &record.call {
            Call::Launch(request) if request.run_id == run_id => Some(request.isolated_network),
            _ => None,
        });
        assert_eq!(isolated.collect::<Vec<_>>(), [true; 3]);
    });
}

#[test]
fn a_disaster_keeps_its_replicas_until_a_person_ends_it() {
    in_virtual_time(async {
        let (world, run_id, report) = carried_out(Scenario::Disaster).await;
        assert_eq!(report.outcome, Outcome::Recovered, "{}", report.cause);
        assert_eq!(world.cloud.truth_resources(&run_id).len(), 3);
        tokio::time::sleep(std::time::Duration::from_hours(48)).await;
        settled(&world).await;
        assert_eq!(world.cloud.truth_resources(&run_id).len(), 3, "no sweep takes them away");
        end_open_recoveries(&world).await;
        assert_eq!(world.cloud.truth_resources(&run_id), []);
        settled(&world).await;
    });
}

#[test]
fn services_start_when_what_they_need_serves() {
    in_virtual_time(async {
        let (world, run_id, report) = carried_out(Scenario::Rehearsal).await;
        let orders = serving_since(&report, "orders").into_iter().max().unwrap();
        let launched = world.register.intents(&run_id).await.unwrap();
        let of_shop = launched.iter().filter(|intent| intent.machine.service_id.as_str() == "shop");
        let started: Vec<Timestamp> = of_shop.map(|intent| intent.at).collect();
        assert_eq!(started.len(), 2);
        assert!(
            started.iter().all(|at| *at >= orders),
            "orders serves since {orders}, shop started {started:?}"
        );
    });
}

#[test]
fn an_image_that_does_not_boot_is_replaced_by_the_one_before_it() {
    in_virtual_time(async {
        let (_, _, report) = recovered(Scenario::Disaster, async |world| {
            let newest = world.register.latest_image(&orders_database()).await.unwrap().unwrap();
            world.agents.refuse_to_boot(&newest.image_id);
        })
        .await;
        assert_eq!(report.outcome, Outcome::Recovered, "{}", report.cause);
        let recovery = report.recovery.unwrap();
        let orders = recovery.services.iter().find(|facts| facts.service.service_id.as_str() == "orders");
        let serving: Vec<bool> = orders
            .unwrap()
            .replicas
            .iter()
            .filter(|replica| replica.serving_since.is_some())
            .map(|replica| replica.fell_back)
            .collect();
        assert_eq!(serving, [true]);
    });
}

#[test]
fn when_no_image_boots_the_others_are_still_recovered() {
    in_virtual_time(async {
        let (world, _, report) = recovered(Scenario::Disaster, async |world| {
            for image in world.register.images(&orders_database()).await.unwrap() {
                world.agents.refuse_to_boot(&image.image_id);
            }
        })
        .await;
        assert_eq!(report.outcome, Outcome::PartiallyRecovered, "{}", report.cause);
        assert!(report.cause.contains("acme/orders"), "{}", report.cause);
        end_open_recoveries(&world).await;
        settled(&world).await;
    });
}

#[test]
fn without_capacity_in_the_first_zone_replicas_start_in_the_next() {
    in_virtual_time(async {
        let (world, run_id, report) = recovered(Scenario::Rehearsal, async |world| {
            world.cloud.set_capacity("m7i.large", "sim-1a", 1);
        })
        .await;
        assert_eq!(report.outcome, Outcome::Recovered, "{}", report.cause);
        let mut zones = Vec::new();
        for intent in world.register.intents(&run_id).await.unwrap() {
            if let Some(instance_id) = intent.instance_id {
                let inside = world.cloud.simulated_instance(&instance_id).unwrap();
                assert_eq!(inside.purpose, Purpose::Replica);
                zones.push(inside.zone);
            }
        }
        zones.sort();
        assert_eq!(zones, ["sim-1a", "sim-1b", "sim-1b"]);
    });
}

#[test]
fn without_a_proven_image_the_newest_failed_verdict_is_named() {
    in_virtual_time(async {
        let world = world().await;
        for machine in machines() {
            let bad = world.back_up(&machine, BackupKind::Full);
            world.agents.garble(&bad.set.backup_id, true);
            refreshed(&world, &machine).await;
        }
        let request = world.request(RecoveryKind::Disaster);
        let run_id = world.living_host().start_recovery(&request).await.unwrap();
        finish(&world).await;
        let execution = world.execution(&run_id).unwrap();
        assert_eq!(execution.error.as_deref(), Some("Recovery.NoProvenImage"));
        let told = report(&world, &run_id).await;
        assert_eq!(told.outcome, Outcome::Failed);
        assert!(told.cause.contains("probe"), "{}", told.cause);
        settled(&world).await;
    });
}
