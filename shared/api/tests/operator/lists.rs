//! Lists, page by page.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use rekindle_domain::{Digest, Flow, HumanTask, Run, RunId, Service, ServiceId, ServiceKey};
use serde_json::Value;

use crate::world::{RUN, World, ago, epoch, machine, question, service};

/// All entries of a list, and how many pages they took.
async fn everything(world: &World, list: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut next) = (Vec::new(), 0, String::new());
    let mark = if list.contains('?') { '&' } else { '?' };
    loop {
        let page = world.get(&format!("{list}{mark}limit={limit}{next}")).await.good();
        let entries = page["items"].as_array().unwrap();
        assert!(!entries.is_empty() && entries.len() <= limit);
        items.extend(entries.iter().cloned());
        pages += 1;
        match page["next"].as_str() {
            Some(cursor) => next = format!("&next={cursor}"),
            None => return (items, pages),
        }
    }
}

#[tokio::test]
async fn two_hundred_and_fifty_runs_are_each_listed_once_in_the_order_of_time() {
    let world = World::new().await;
    for minutes in 0..250 {
        // Fifty of each moment, so that a page ends between runs of one moment.
        let opened_at = ago(minutes / 50);
        let run = Run::open(RunId::mint(), Flow::Recover, None, opened_at, epoch());
        world.register.open_run(&run).await.unwrap();
    }
    for (limit, pages) in [(100, 3), (50, 5), (7, 36)] {
        let (runs, read) = everything(&world, "/v1/runs", limit).await;
        let ids: BTreeSet<&str> = runs.iter().map(|run| run["run_id"].as_str().unwrap()).collect();
        assert_eq!((runs.len(), ids.len(), read), (250, 250, pages));
        let times: Vec<&str> = runs.iter().map(|run| run["opened_at"].as_str().unwrap()).collect();
        assert!(times.is_sorted());
    }
    assert_eq!(world.get("/v1/runs?state=open").await.good()["items"].as_array().unwrap().len(), 50);
}

async fn end(world: &World, run_id: &RunId) {
    world.register.close_run(run_id, None, None, epoch()).await.unwrap();
    world.register.end_run(run_id, epoch()).await.unwrap();
    world.register.mark_reported(run_id).await.unwrap();
}

#[tokio::test]
async fn past_runs_are_listed_from_the_newest_and_lead_to_their_reports() {
    let world = World::new().await;
    let mut expected = Vec::new();
    for minutes in 0..7 {
        let run = Run::open(RunId::mint(), Flow::Recover, None, ago(minutes), epoch());
        world.register.open_run(&run).await.unwrap();
        end(&world, &run.run_id).await;
        expected.push(run.run_id.to_string());
    }
    let open = Run::open(RunId::mint(), Flow::Recover, None, ago(0), epoch());
    world.register.open_run(&open).await.unwrap();
    let (runs, pages) = everything(&world, "/v1/runs?state=ended", 3).await;
    let ids: Vec<&str> = runs.iter().map(|run| run["run_id"].as_str().unwrap()).collect();
    assert_eq!((ids, pages), (expected.iter().map(String::as_str).collect(), 3));
    let open = world.get("/v1/runs").await.good();
    assert_eq!(open["items"].as_array().unwrap().len(), 1, "each run is in one of the lists");

    let world = World::seeded().await;
    end(&world, &RunId::parse(RUN).unwrap()).await;
    let (runs, _) = everything(&world, "/v1/runs?state=ended", 100).await;
    let recovery = runs.iter().find(|run| run["flow"] == "recover").unwrap();
    let report = format!("/v1/runs/{}/report", recovery["run_id"].as_str().unwrap());
    assert_eq!(world.get(&report).await.good()["outcome"], "Recovered");
}

/// The lists run in opposite orders.
#[tokio::test]
async fn a_cursor_of_open_runs_is_none_of_past_ones() {
    let world = World::new().await;
    for minutes in 0..2 {
        let run = Run::open(RunId::mint(), Flow::Recover, None, ago(minutes), epoch());
        world.register.open_run(&run).await.unwrap();
    }
    let next = world.get("/v1/runs?limit=1").await.good()["next"].as_str().unwrap().to_owned();
    let other = format!("/v1/runs?state=ended&next={next}");
    assert_eq!(world.get(&other).await.refusal().1, "cursor-invalid");
}

#[tokio::test]
async fn services_are_listed_by_name() {
    let world = World::seeded().await;
    for number in 0..30 {
        let service_id = ServiceId::parse(&format!("s-{number:02}")).unwrap();
        let template = service(&machine("acme/orders/database"));
        let key = ServiceKey { service_id, ..template.key.clone() };
        world.register.put_service(&Service { key, ..template }, None).await.unwrap();
    }
    let (services, pages) = everything(&world, "/v1/customers/acme/services", 8).await;
    let names: Vec<&str> = services.iter().map(|service| service["service_id"].as_str().unwrap()).collect();
    assert_eq!((names.len(), pages), (32, 4));
    assert!(names.is_sorted() && names.contains(&"orders") && !names.contains(&"shop"));
}

#[tokio::test]
async fn images_are_listed_from_the_newest() {
    let world = World::seeded().await;
    let list = "/v1/customers/acme/services/orders/machines/database/images";
    let (images, pages) = everything(&world, list, 2).await;
    let points: Vec<&str> = images.iter().map(|image| image["recovery_point"].as_str().unwrap()).collect();
    assert_eq!((points.len(), pages), (3, 2));
    assert!(points.iter().rev().is_sorted());
    // A cursor of one machine is none of another one.
    let next = world.get(&format!("{list}?limit=1")).await.good()["next"].as_str().unwrap().to_owned();
    let other = format!("/v1/customers/acme/services/web/machines/front/images?next={next}");
    assert_eq!(world.get(&other).await.refusal().1, "cursor-invalid");
}

#[tokio::test]
async fn human_tasks_are_listed_from_the_oldest() {
    let world = World::seeded().await;
    for number in 1..=5 {
        let task = HumanTask {
            human_task_id: Digest::of(&[number]),
            created_at: epoch() + SignedDuration::from_secs(i64::from(number)),
            ..question(&RunId::mint())
        };
        world.register.ask(&task, Some(crate::world::TOKEN)).await.unwrap();
    }
    let (tasks, pages) = everything(&world, "/v1/human-tasks", 4).await;
    let times: Vec<&str> = tasks.iter().map(|task| task["created_at"].as_str().unwrap()).collect();
    assert_eq!((times.len(), pages), (6, 2));
    assert!(times.is_sorted());
}
