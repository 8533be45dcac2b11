//! Runs and reports.

use rekindle_api::CallerPrincipal;
use rekindle_domain::{ObjectKey, RunId};
use rekindle_requests::approval::approval_task;
use rekindle_store::ObjectStore as _;
use serde_json::json;

use crate::world::{ADA, PAGE, RUN, TASK, TOKEN, World, question, recovery};

#[tokio::test]
async fn a_run_comes_with_its_steps_and_questions() {
    let world = World::seeded().await;
    let view = world.get(&format!("/v1/runs/{RUN}")).await.good();
    assert_eq!((&view["run"]["run_id"], &view["run"]["state"]), (&json!(RUN), &json!("Open")));
    assert_eq!(view["steps"][0]["name"], "PlanRecovery");
    assert_eq!(view["human_tasks"][0]["human_task_id"], TASK);
    assert_eq!(view["run"]["plan_id"], json!(null));
}

#[tokio::test]
async fn the_approval_of_a_run_stays_with_it_when_it_was_given() {
    let world = World::seeded().await;
    let run_id = RunId::parse(RUN).unwrap();
    let plan = world.post("/v1/recovery-plans", recovery("t")).await.good()["plan_id"].clone();
    let plan = serde_json::from_value(plan).unwrap();
    world.register.bind_plan(&run_id, &plan).await.unwrap();
    let id = approval_task(&run_id, &plan);
    let task = rekindle_domain::HumanTask {
        human_task_id: id.clone(),
        subject: Some(plan.clone()),
        ..question(&run_id)
    };
    world.register.ask(&task, Some(TOKEN)).await.unwrap();
    let decision = json!({ "approved": true, "subject": plan });
    world.post(&format!("/v1/human-tasks/{id}/decision"), decision).await.good();
    let view = world.get(&format!("/v1/runs/{RUN}")).await.good();
    assert_eq!(view["run"]["plan_id"], json!(plan));
    assert_eq!(view["human_tasks"].as_array().unwrap().len(), 2);
    assert_eq!(view["human_tasks"][0]["decision"]["decided_by"], ADA);
}

#[tokio::test]
async fn a_report_is_read_as_json_and_as_a_page() {
    let world = World::seeded().await;
    let report = world.get(&format!("/v1/runs/{RUN}/report")).await;
    assert_eq!((report.kind.as_str(), &report.good()["outcome"]), ("application/json", &json!("Recovered")));
    let page = world.get(&format!("/v1/runs/{RUN}/report.html")).await;
    assert_eq!((page.kind.as_str(), page.text.as_str()), ("text/html; charset=utf-8", PAGE));
}

/// A page that strangers' words are on is shown without any right.
#[tokio::test]
async fn the_page_may_do_nothing() {
    use tower::ServiceExt as _;
    let world = World::seeded().await;
    let address = format!("/v1/runs/{RUN}/report.html");
    let mut request = axum::http::Request::get(address).body(axum::body::Body::empty()).unwrap();
    request.extensions_mut().insert(CallerPrincipal(ADA.to_owned()));
    let response = rekindle_api::operator_router(world.api.clone()).oneshot(request).await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn a_report_that_is_not_in_the_bucket_is_read_from_the_register() {
    let world = World::seeded().await;
    for ending in ["json", "html"] {
        let key = ObjectKey::parse(&format!("customers/acme/reports/{RUN}.{ending}")).unwrap();
        world.control.delete(&key).await.unwrap();
    }
    assert_eq!(world.get(&format!("/v1/runs/{RUN}/report")).await.good()["run_id"], RUN);
    let page = world.get(&format!("/v1/runs/{RUN}/report.html")).await;
    assert_eq!(page.refusal(), (404, "report-not-written".to_owned()));
}

#[tokio::test]
async fn a_run_that_is_at_work_has_no_report() {
    let world = World::seeded().await;
    let run = rekindle_domain::Run::open(
        RunId::mint(),
        rekindle_domain::Flow::Recover,
        None,
        crate::world::epoch(),
        crate::world::epoch(),
    );
    world.register.open_run(&run).await.unwrap();
    for ending in ["report", "report.html"] {
        let answer = world.get(&format!("/v1/runs/{}/{ending}", run.run_id)).await;
        assert_eq!(answer.refusal(), (404, "report-not-written".to_owned()));
    }
}
