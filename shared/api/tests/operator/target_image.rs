//! `TargetImageID` and `TargetImageSshKeyName`: a recovery of one certain image.

use rekindle_requests::recovery::Request;
use serde_json::{Value, json};

use crate::world::{World, recovery, with};

const OLDEST: &str = "ami-00000000000000001";

fn targeting(image: &str) -> Value {
    with(recovery("t"), "TargetImageID", json!(image))
}

#[tokio::test]
async fn the_named_image_is_planned_with_the_named_key() {
    let world = World::seeded().await;
    let body = with(targeting(OLDEST), "TargetImageSshKeyName", json!("acme-forensics"));
    let plan = world.post("/v1/recovery-plans", body.clone()).await.good()["plan"].clone();
    let machine = &plan["waves"][0]["services"][0]["machines"][0];
    assert_eq!((&machine["image_id"], &machine["fallbacks"]), (&json!(OLDEST), &json!([])));
    assert_eq!(machine["ssh_key_name"], "acme-forensics");

    let declared = world.post("/v1/recoveries", body).await.good();
    let started = world.workflow.executions("recover");
    assert_eq!(declared["run_id"], started[0].0);
    let target = serde_json::from_value::<Request>(started[0].1.clone()).unwrap().target.unwrap();
    assert_eq!(target.image_id.as_str(), OLDEST);
    assert_eq!(target.ssh_key_name.as_deref(), Some("acme-forensics"));
}

#[tokio::test]
async fn without_a_key_of_its_own_it_has_the_services_key() {
    let world = World::seeded().await;
    let plan = world.post("/v1/recovery-plans", targeting(OLDEST)).await.good()["plan"].clone();
    assert_eq!(plan["waves"][0]["services"][0]["machines"][0]["ssh_key_name"], "acme-operations");
}

#[tokio::test]
async fn an_image_that_is_not_this_services_is_refused() {
    let world = World::seeded().await;
    for (image, code) in [
        ("ami-unheard-of", "target-image-unknown"),
        ("ami-base", "target-image-unknown"),
        ("ami-web", "target-image-foreign"),
        ("ami-globex", "target-image-foreign"),
    ] {
        for address in ["/v1/recovery-plans", "/v1/recoveries", "/v1/rehearsals"] {
            let answer = world.post(address, targeting(image)).await;
            assert_eq!(answer.refusal(), (422, code.to_owned()), "{image}");
        }
    }
    assert!(world.workflow.executions("recover").is_empty());
}

#[tokio::test]
async fn what_is_meant_has_to_be_clear() {
    let world = World::seeded().await;
    let alone = with(recovery("t"), "TargetImageSshKeyName", json!("acme-forensics"));
    for body in [
        alone,
        with(targeting(OLDEST), "services", json!([])),
        with(targeting(OLDEST), "services", json!(["orders", "web"])),
        with(targeting(OLDEST), "at_or_before", json!("2026-11-22T00:00:00Z")),
    ] {
        let answer = world.post("/v1/recoveries", body.clone()).await;
        assert_eq!(answer.refusal(), (422, "target-image-ambiguous".to_owned()), "{body}");
    }
    for name in ["", "a\nb", "clé", &"x".repeat(256)] {
        let body = with(targeting(OLDEST), "TargetImageSshKeyName", json!(name));
        assert_eq!(world.post("/v1/recoveries", body).await.refusal(), (422, "body-invalid".to_owned()));
    }
}
