//! What holds at every address: it goes through the table of routes.

use rekindle_api::operator::OPERATOR_ROUTES;
use rekindle_api::operator_router;
use serde_json::json;

use crate::world::{ADA, RUN, TASK, World, recovery, send, with};

/// An address that names what the world holds.
fn filled(path: &str) -> String {
    let path = path.replace("{customer_id}", "acme").replace("{service_id}", "orders");
    let path = path.replace("{machine_id}", "database").replace("{run_id}", RUN);
    path.replace("{human_task_id}", TASK).replace("{plan_id}", TASK)
}

fn takes_a_body(method: &str) -> bool {
    matches!(method, "POST" | "PUT")
}

#[tokio::test]
async fn nobody_is_answered_whom_the_transport_does_not_name() {
    let world = World::seeded().await;
    for route in OPERATOR_ROUTES {
        let answer = send(operator_router(world.api.clone()), route.method, &filled(route.path), "{}").await;
        assert_eq!(answer.refusal(), (403, "caller-unknown".to_owned()), "{route:?}");
        let not_people = ["policy:standard", "Policy:x", "schedule:weekly", " Schedule:x"];
        let not_shown = ["", "  ", "ada\u{1b}[2J", "a\nb", &"a".repeat(2_049)];
        for name in not_people.into_iter().chain(not_shown) {
            let answer = world.call(name, route.method, &filled(route.path), "{}").await;
            assert_eq!(answer.refusal(), (403, "caller-unknown".to_owned()), "{route:?} {name:?}");
        }
    }
    assert!(world.workflow.started.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_not_read() {
    let world = World::seeded().await;
    for route in OPERATOR_ROUTES.iter().filter(|route| takes_a_body(route.method)) {
        for length in [128 * 1024 + 1, 10 * 1024 * 1024] {
            let body = format!("{{\"reason\":\"{}\"}}", "x".repeat(length));
            let answer = world.call(ADA, route.method, &filled(route.path), body).await;
            assert_eq!(answer.refusal(), (413, "body-too-large".to_owned()), "{route:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused() {
    let world = World::seeded().await;
    let deep = "[".repeat(100_000);
    for route in OPERATOR_ROUTES.iter().filter(|route| takes_a_body(route.method)) {
        for body in ["not json", "[]", "null", "{", "\u{0}", r#"{"surprise": 1}"#, &deep] {
            let answer = world.call(ADA, route.method, &filled(route.path), body.to_owned()).await;
            assert_eq!(answer.refusal(), (400, "body-unreadable".to_owned()), "{route:?} {body:.20}");
        }
        let answer = world.call(ADA, route.method, &filled(route.path), vec![0xff_u8, 0xfe]).await;
        assert_eq!(answer.refusal(), (400, "body-unreadable".to_owned()), "{route:?}");
    }
    for (field, value) in [
        ("customer_id", json!("../acme")),
        ("services", json!("orders")),
        ("services", json!(["ORDERS"])),
        ("client_token", json!("")),
        ("client_token", json!("with space")),
        ("client_token", json!("x".repeat(65))),
        ("at_or_before", json!("yesterday")),
        ("TargetImageID", json!("a/b")),
        ("target_image_id", json!("ami-1")),
        ("requested_by", json!("somebody else")),
        ("kind", json!("disaster")),
        ("declared_at", json!("2026-11-22T00:00:00Z")),
    ] {
        let answer = world.post("/v1/recoveries", with(recovery("t"), field, value)).await;
        assert_eq!(answer.refusal(), (400, "body-unreadable".to_owned()), "{field}");
    }
    assert!(world.workflow.started.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_address_with_something_that_is_no_id_is_refused() {
    let world = World::seeded().await;
    for route in OPERATOR_ROUTES.iter().filter(|route| route.path.contains('{')) {
        for stranger in ["NOT_AN_ID", "%2e%2e", "%00", "%ff", "a%2fb", &"a".repeat(5_000)] {
            let mut address = String::new();
            for part in route.path.split('/').skip(1) {
                address.push('/');
                address.push_str(if part.starts_with('{') { stranger } else { part });
            }
            let answer = world.call(ADA, route.method, &address, "{}").await;
            assert_eq!(answer.refusal(), (400, "id-invalid".to_owned()), "{route:?} {stranger:.20}");
        }
    }
}

#[tokio::test]
async fn what_is_not_known_is_named() {
    let world = World::seeded().await;
    let run = "01JD9ZK5V6T3M4N5P6Q7R8S9TZ";
    for (address, code) in [
        ("/v1/customers/nobody/services", "customer-unknown"),
        ("/v1/customers/acme/services/nothing", "service-unknown"),
        ("/v1/customers/nobody/services/orders", "service-unknown"),
        ("/v1/customers/acme/services/orders/machines/none/images", "machine-unknown"),
        ("/v1/customers/acme/services/nothing/machines/database/images", "service-unknown"),
        (&*format!("/v1/plans/{TASK}"), "plan-unknown"),
        (&format!("/v1/runs/{run}"), "run-unknown"),
        (&format!("/v1/runs/{run}/report"), "run-unknown"),
        (&format!("/v1/runs/{run}/report.html"), "run-unknown"),
        (&format!("/v1/human-tasks/{}", "0".repeat(64)), "human-task-unknown"),
        ("/v1/nothing", "not-found"),
        ("/", "not-found"),
        ("/v1/runs/", "not-found"),
        ("/v2/runs", "not-found"),
    ] {
        assert_eq!(world.get(address).await.refusal(), (404, code.to_owned()), "{address}");
    }
    let decision = json!({ "approved": true, "subject": TASK });
    let answer = world.post(&format!("/v1/human-tasks/{}/decision", "0".repeat(64)), decision).await;
    assert_eq!(answer.refusal().1, "human-task-unknown");
    let answer = world.post(&format!("/v1/recoveries/{run}/end"), json!({ "confirm": run })).await;
    assert_eq!(answer.refusal().1, "run-unknown");
    let refreshes = "/v1/customers/acme/services/orders/machines/none/refreshes";
    assert_eq!(world.post(refreshes, json!({})).await.refusal().1, "machine-unknown");
}

#[tokio::test]
async fn an_address_answers_to_its_own_methods_only() {
    let world = World::seeded().await;
    for route in OPERATOR_ROUTES {
        for method in ["DELETE", "PATCH", "PUT", "POST", "GET"] {
            let is_known =
                OPERATOR_ROUTES.iter().any(|other| other.path == route.path && other.method == method);
            if !is_known {
                let answer = world.call(ADA, method, &filled(route.path), "").await;
                assert_eq!(answer.refusal(), (405, "method-not-allowed".to_owned()), "{method} {route:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused() {
    let world = World::seeded().await;
    let services = "/v1/customers/acme/services";
    let images = "/v1/customers/acme/services/orders/machines/database/images";
    for list in [services, images, "/v1/runs", "/v1/human-tasks"] {
        for query in ["limit=0", "limit=101", "limit=-1", "limit=many", "limit=1&limit=2", "page=2"] {
            let answer = world.get(&format!("{list}?{query}")).await;
            assert_eq!(answer.refusal(), (400, "query-invalid".to_owned()), "{list}?{query}");
        }
        for cursor in ["", "x", "zz", "00", "c3a9", &"61".repeat(2_000)] {
            let answer = world.get(&format!("{list}?next={cursor}")).await;
            assert_eq!(answer.refusal(), (400, "cursor-invalid".to_owned()), "{list} {cursor:.20}");
        }
        // A cursor that was made up to look like one of this list.
        for position in ["", "x", "now#RUN", "CUSTOMER#globex"] {
            for state in ["open", "ended"] {
                let cursor = hex::encode(format!("runs {state}\n{position}"));
                let answer = world.get(&format!("/v1/runs?state={state}&next={cursor}")).await;
                assert_eq!(answer.refusal().1, "cursor-invalid", "{state} {position}");
            }
        }
    }
    for address in ["/v1/runs?state=closed", "/v1/recovery-plans?kind=drill"] {
        let method = if address.starts_with("/v1/runs") { "GET" } else { "POST" };
        let answer = world.call(ADA, method, address, recovery("t").to_string()).await;
        assert_eq!(answer.refusal(), (400, "query-invalid".to_owned()), "{address}");
    }
}
