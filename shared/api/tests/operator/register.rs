//! The register itself, and its rebuild.

use jiff::SignedDuration;
use rekindle_domain::{Digest, Rebuild, RebuildFindings, RebuildState, RegisterEpoch, RunId};
use serde_json::{Value, json};

use crate::world::{ADA, BOB, World, epoch};

const REBUILD: &str = "/v1/register/rebuild";

fn asking(token: &str, mode: &str) -> Value {
    json!({ "client_token": token, "mode": mode })
}

/// A register whose content was written into another table.
async fn restored() -> World {
    let world = World::seeded().await;
    let elsewhere = RegisterEpoch {
        table_id: "another table".to_owned(),
        epoch: 3,
        mark: 9,
        marked_at: epoch(),
        restored: None,
    };
    assert!(world.register.put_epoch(&elsewhere, None).await.unwrap());
    world
}

/// What the sweep would write after a look.
async fn shown(world: &World) -> Digest {
    let asked = world.register.rebuild().await.unwrap().unwrap();
    let findings = RebuildFindings::default();
    let digest = findings.digest().unwrap();
    let (findings, findings_digest) = (Some(findings), Some(digest.clone()));
    let shown = Rebuild { state: RebuildState::Shown, findings, findings_digest, ..asked.clone() };
    assert!(world.register.put_rebuild(&shown, Some(&asked)).await.unwrap());
    digest
}

#[tokio::test]
async fn it_is_shown_whether_the_register_is_the_one_it_was() {
    let world = World::seeded().await;
    assert_eq!(world.get("/v1/register").await.good()["standing"], "new");
    let table_id = world.register.table_id().await.unwrap();
    let own = RegisterEpoch { table_id, epoch: 3, mark: 9, marked_at: epoch(), restored: None };
    world.register.put_epoch(&own, None).await.unwrap();
    let view = world.get("/v1/register").await.good();
    assert_eq!(
        (&view["standing"], &view["epoch"], &view["rebuild"]),
        (&json!("current"), &json!(3), &Value::Null)
    );
    let view = restored().await.get("/v1/register").await.good();
    assert_eq!((&view["standing"], &view["epoch"]), (&json!("restored"), &Value::Null));
    assert!(view["sentence"].as_str().unwrap().contains("another table"));
}

#[tokio::test]
async fn a_rebuild_is_looked_at_before_it_is_carried_out() {
    let world = restored().await;
    let mut act = asking("act", "act");
    assert_eq!(world.post(REBUILD, act.clone()).await.refusal(), (422, "not-confirmed".to_owned()));
    assert_eq!(world.post(REBUILD, asking("look", "dry-run")).await.status, 202);
    let digest = shown(&world).await;
    act["confirm"] = json!(Digest::of(b"something else"));
    assert_eq!(world.post(REBUILD, act.clone()).await.refusal().1, "not-confirmed");
    act["confirm"] = json!(digest);
    let answer = world.post(REBUILD, act).await.good();
    assert_eq!((&answer["state"], &answer["requested_by"]), (&json!("requested"), &json!(ADA)));
    assert_eq!(world.get("/v1/register").await.good()["rebuild"], answer);
}

#[tokio::test]
async fn the_same_request_again_is_the_same_rebuild() {
    let world = restored().await;
    let first = world.post(REBUILD, asking("look", "dry-run")).await.good();
    assert_eq!(world.post(REBUILD, asking("look", "dry-run")).await.good(), first);
    let other = world.post(REBUILD, asking("look", "act")).await;
    assert_eq!(other.refusal(), (409, "client-token-reused".to_owned()));
    let busy = world.call(BOB, "POST", REBUILD, asking("mine", "dry-run").to_string()).await;
    assert_eq!(busy.refusal(), (409, "rebuild-at-work".to_owned()));
    shown(&world).await;
    let again = world.post(REBUILD, asking("look", "dry-run")).await.good();
    assert_eq!((&again["rebuild_id"], &again["state"]), (&first["rebuild_id"], &json!("shown")));
    assert_eq!(world.call(BOB, "POST", REBUILD, asking("mine", "dry-run").to_string()).await.status, 202);
}

/// A request that was cut off before it was recorded comes again when another one is at work.
#[tokio::test]
async fn a_rebuild_at_work_is_not_written_over_by_an_older_request() {
    let world = restored().await;
    world.post(REBUILD, asking("late", "dry-run")).await.good();
    let late = world.register.rebuild().await.unwrap().unwrap();
    let at_work = Rebuild {
        rebuild_id: RunId::mint(),
        requested_at: late.requested_at - SignedDuration::from_secs(1),
        state: RebuildState::Acting,
        ..late.clone()
    };
    assert!(world.register.put_rebuild(&at_work, Some(&late)).await.unwrap());
    let again = world.post(REBUILD, asking("late", "dry-run")).await;
    assert_eq!(again.refusal(), (409, "rebuild-at-work".to_owned()));
    assert_eq!(world.register.rebuild().await.unwrap(), Some(at_work));
}

#[tokio::test]
async fn a_register_that_was_not_restored_is_only_looked_at() {
    let world = World::seeded().await;
    let refused = world.post(REBUILD, asking("act", "act")).await;
    assert_eq!(refused.refusal(), (409, "register-current".to_owned()));
    assert_eq!(world.post(REBUILD, asking("look", "dry-run")).await.status, 202);
}

/// Whoever approves a recovery is told, and the recovery is planned all the same.
#[tokio::test]
async fn a_plan_says_that_the_register_was_restored() {
    let plan = restored().await.post("/v1/recovery-plans", crate::world::recovery("t")).await.good();
    assert!(plan["plan"]["warning"].as_str().unwrap().contains("restored to an earlier time"));
    let plan = World::seeded().await.post("/v1/recovery-plans", crate::world::recovery("t")).await.good();
    assert!(plan["plan"].get("warning").is_none());
}
