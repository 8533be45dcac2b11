//! Configurations that are published.

use rekindle_domain::configuration::RevisionId;
use serde_json::{Value, json};

use crate::world::{World, machine};

const SERVICE: &str = "/v1/customers/acme/services/orders";
const CONFIGURATIONS: &str = "/v1/customers/acme/services/orders/configurations";

fn body(token: &str, version: u64, content: &str) -> Value {
    json!({ "client_token": token, "version": version, "revision": RevisionId::of(content.as_bytes()) })
}

fn configuration(content: &str, counter: u64) -> Value {
    json!({ "revision": RevisionId::of(content.as_bytes()), "counter": counter })
}

async fn current(world: &World) -> Value {
    world.get(SERVICE).await.good()["service"]["configuration"].clone()
}

#[tokio::test]
async fn a_published_configuration_is_current_and_every_machine_is_refreshed() {
    let world = World::seeded().await;
    let published = world.post(CONFIGURATIONS, body("one", 1, "first")).await.good();
    assert_eq!(published["configuration"], configuration("first", 1));
    assert_eq!(current(&world).await, configuration("first", 1));
    let refreshes = world.workflow.executions("refresh-image");
    assert_eq!(refreshes.len(), 1);
    assert_eq!(published["refreshes"], json!({ "database": refreshes[0].0 }));
    assert_eq!(refreshes[0].1, json!({ "machine": machine("acme/orders/database") }));
}

#[tokio::test]
async fn the_same_publication_again_is_the_same_and_never_undoes_a_later_one() {
    let world = World::seeded().await;
    let first = world.post(CONFIGURATIONS, body("one", 1, "first")).await.good();
    assert_eq!(world.post(CONFIGURATIONS, body("one", 1, "first")).await.good(), first);
    assert_eq!(world.workflow.executions("refresh-image").len(), 1);
    world.post(CONFIGURATIONS, body("two", 2, "second")).await.good();
    let late = world.post(CONFIGURATIONS, body("one", 1, "first")).await;
    assert_eq!(late.refusal(), (409, "version-moved".to_owned()));
    assert_eq!(current(&world).await, configuration("second", 2));
    let reused = world.post(CONFIGURATIONS, body("two", 3, "third")).await;
    assert_eq!(reused.refusal(), (409, "client-token-reused".to_owned()));
}

#[tokio::test]
async fn nothing_is_published_for_a_service_that_is_not_known_or_under_no_revision() {
    let world = World::seeded().await;
    let unknown = "/v1/customers/acme/services/payroll/configurations";
    assert_eq!(
        world.post(unknown, body("one", 1, "first")).await.refusal(),
        (404, "service-unknown".to_owned())
    );
    let nameless = json!({ "client_token": "one", "version": 1, "revision": "newest" });
    assert_eq!(world.post(CONFIGURATIONS, nameless).await.refusal(), (400, "body-unreadable".to_owned()));
    assert_eq!(current(&world).await, json!(null));
}
