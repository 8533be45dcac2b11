//! Previews, disasters, rehearsals, and their ends.

use rekindle_domain::{Flow, HumanTaskStatus, Outcome, Run, RunId, RunState};
use rekindle_requests::recovery::Request;
use rekindle_step::ExecutionState;
use serde_json::{Value, json};

use crate::world::{ADA, BOB, RUN, TASK, World, epoch, question, recovery, with};

fn started(world: &World) -> Vec<(String, Value)> {
    world.workflow.executions("recover")
}

#[tokio::test]
async fn a_preview_is_stored_and_starts_nothing() {
    let world = World::seeded().await;
    let preview = world.post("/v1/recovery-plans", recovery("t")).await.good();
    assert_eq!(preview["plan"]["kind"], "disaster");
    assert_eq!(preview["plan"]["requested_by"], ADA);
    assert_eq!(preview["plan"]["isolated_network"], false);
    let read = world.get(&format!("/v1/plans/{}", preview["plan_id"].as_str().unwrap())).await.good();
    assert_eq!(read, preview);
    let mut without = recovery("t");
    without.as_object_mut().unwrap().remove("client_token");
    let rehearsal = world.post("/v1/recovery-plans?kind=rehearsal", without).await.good();
    assert_eq!(rehearsal["plan"]["isolated_network"], true);
    assert!(started(&world).is_empty());
}

#[tokio::test]
async fn a_declared_disaster_starts_the_flow_with_what_was_asked_for() {
    let world = World::seeded().await;
    let body = with(recovery("t"), "at_or_before", json!("2026-11-21T23:45:00Z"));
    let answer = world.post("/v1/recoveries", body).await;
    assert_eq!(answer.status, 202);
    let started = started(&world);
    assert_eq!(answer.good()["run_id"], started[0].0);
    let request: Request = serde_json::from_value(started[0].1.clone()).unwrap();
    assert_eq!((request.requested_by.as_str(), request.services.len()), (ADA, 1));
    assert_eq!(answer.good()["declared_at"], request.declared_at.to_string());
    assert!(started[0].1.get("target").is_none(), "a function of the version before reads it too");
}

#[tokio::test]
async fn the_same_request_again_is_the_same_recovery() {
    let world = World::seeded().await;
    let first = world.post("/v1/recoveries", recovery("t")).await.good();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_eq!(world.post("/v1/recoveries", recovery("t")).await.good(), first);
    assert_eq!(started(&world).len(), 1);
    let other = with(recovery("t"), "reason", json!("a flood"));
    for (address, body) in [("/v1/recoveries", other), ("/v1/rehearsals", recovery("t"))] {
        let answer = world.post(address, body).await;
        assert_eq!(answer.refusal(), (409, "client-token-reused".to_owned()), "{address}");
    }
    // The token is Ada's: Bob's has nothing to do with it.
    let answer = world.call(BOB, "POST", "/v1/recoveries", recovery("t").to_string()).await.good();
    assert_ne!(answer["run_id"], first["run_id"]);
    assert_eq!(started(&world).len(), 2);
}

#[tokio::test]
async fn twenty_at_once_are_one_recovery() {
    let world = World::seeded().await;
    let asked = (0..20).map(|_| {
        let router = world.router_for(ADA);
        tokio::spawn(async move {
            crate::world::send(router, "POST", "/v1/recoveries", recovery("t").to_string()).await.good()
        })
    });
    let mut answers = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        answers.push(asked.await.unwrap());
    }
    answers.dedup();
    assert_eq!((answers.len(), started(&world).len()), (1, 1));
}

#[tokio::test]
async fn a_try_again_after_a_crash_starts_the_execution_that_was_claimed() {
    let world = World::seeded().await;
    world.workflow.set_reachable(false);
    let answer = world.post("/v1/recoveries", recovery("t")).await;
    assert_eq!(answer.refusal(), (503, "workflow-unavailable".to_owned()));
    world.workflow.set_reachable(true);
    // What was registered meanwhile does not matter: the claim holds the whole request.
    let declared = world.post("/v1/recoveries", recovery("t")).await.good();
    let again = world.post("/v1/recoveries", recovery("t")).await.good();
    let started = started(&world);
    assert_eq!((started.len(), &declared), (1, &again));
    assert_eq!(started[0].0, declared["run_id"].as_str().unwrap());
    assert_eq!(started[0].1["declared_at"], declared["declared_at"]);
}

#[tokio::test]
async fn what_cannot_be_recovered_is_refused_at_the_door() {
    let world = World::seeded().await;
    let mut tokenless = recovery("t");
    tokenless.as_object_mut().unwrap().remove("client_token");
    for (body, status, code) in [
        (tokenless, 422, "body-invalid"),
        (with(recovery("t"), "reason", json!(" \u{7} ")), 422, "body-invalid"),
        (with(recovery("t"), "customer_id", json!("nobody")), 404, "customer-unknown"),
        (with(recovery("t"), "services", json!(["nothing"])), 404, "service-unknown"),
        (with(recovery("t"), "at_or_before", json!("2020-01-01T00:00:00Z")), 409, "no-proven-image"),
    ] {
        for address in ["/v1/recoveries", "/v1/rehearsals"] {
            assert_eq!(
                world.post(address, body.clone()).await.refusal(),
                (status, code.to_owned()),
                "{body}"
            );
        }
    }
    assert!(started(&world).is_empty());
    // Nothing was claimed for what was refused.
    world.post("/v1/recoveries", recovery("t")).await.good();
}

#[tokio::test]
async fn services_that_wait_for_each_other_are_refused() {
    let world = World::seeded().await;
    for (one, other) in [("orders", "web"), ("web", "orders")] {
        let list = world.get(&format!("/v1/customers/acme/services/{one}")).await.good();
        let mut service: rekindle_domain::Service = serde_json::from_value(list["service"].clone()).unwrap();
        service.depends_on = vec![rekindle_domain::ServiceId::parse(other).unwrap()];
        world.register.put_service(&service, Some(1)).await.unwrap();
    }
    let answer = world.post("/v1/recoveries", with(recovery("t"), "services", json!([]))).await;
    assert_eq!(answer.refusal(), (409, "dependency-circle".to_owned()));
}

#[tokio::test]
async fn a_rehearsal_is_one() {
    let world = World::seeded().await;
    world.post("/v1/rehearsals", recovery("t")).await.good();
    assert_eq!(started(&world)[0].1["kind"], "rehearsal");
}

fn end() -> String {
    format!("/v1/recoveries/{RUN}/end")
}

#[tokio::test]
async fn ending_takes_the_runs_id_once_more() {
    let world = World::seeded().await;
    for confirm in ["", "yes", TASK, &RUN.to_lowercase()] {
        let answer = world.post(&end(), json!({ "confirm": confirm })).await;
        assert_eq!(answer.refusal(), (422, "not-confirmed".to_owned()));
    }
    let run = world.register.run(&RunId::parse(RUN).unwrap()).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Open);
}

#[tokio::test]
async fn an_ended_recovery_is_closed_and_asks_nobody_any_more() {
    let world = World::seeded().await;
    for _ in 0..2 {
        let answer = world.post(&end(), json!({ "confirm": RUN })).await;
        assert_eq!((answer.status.as_u16(), &answer.good()["state"]), (202, &json!("Closed")));
    }
    let run = world.register.run(&RunId::parse(RUN).unwrap()).await.unwrap().unwrap();
    // Its execution has said how it ended, or the sweep will.
    assert_eq!((run.state, run.outcome), (RunState::Closed, None));
    let task = world.register.human_task(&question(&run.run_id).human_task_id).await.unwrap().unwrap();
    assert_eq!(task.status, HumanTaskStatus::Exited);
    assert!(world.workflow.stopped.lock().unwrap().is_empty());

    world.register.end_run(&run.run_id, epoch()).await.unwrap();
    let ended = world.post(&end(), json!({ "confirm": RUN })).await.good();
    assert_eq!((&ended["state"], &ended["next"]), (&json!("Ended"), &json!("Nothing of it is left.")));
}

/// The sweep leaves alone what is at work, so what is at work is stopped.
#[tokio::test]
async fn what_is_still_at_work_is_stopped_and_says_who_ended_it() {
    let world = World::seeded().await;
    *world.workflow.standing.lock().unwrap() = ExecutionState::Running;
    world.post(&end(), json!({ "confirm": RUN })).await.good();
    assert_eq!(*world.workflow.stopped.lock().unwrap(), [RUN]);
    let run = world.register.run(&RunId::parse(RUN).unwrap()).await.unwrap().unwrap();
    assert_eq!((run.state, run.outcome), (RunState::Closed, Some(Outcome::Failed)));
    assert!(run.cause.unwrap().contains(ADA));
}

#[tokio::test]
async fn a_refresh_is_not_ended_by_a_person() {
    let world = World::seeded().await;
    let host = crate::world::machine("acme/orders/database");
    let run = Run::open(RunId::mint(), Flow::RefreshImage, Some(host), epoch(), epoch());
    world.register.open_run(&run).await.unwrap();
    let answer =
        world.post(&format!("/v1/recoveries/{}/end", run.run_id), json!({ "confirm": run.run_id })).await;
    assert_eq!(answer.refusal(), (409, "not-a-recovery".to_owned()));
}

#[tokio::test]
async fn a_refresh_is_started_as_often_as_it_is_asked_for_and_once_for_a_token() {
    let world = World::seeded().await;
    let address = "/v1/customers/acme/services/orders/machines/database/refreshes";
    world.call(ADA, "POST", address, "").await.good();
    world.post(address, json!({})).await.good();
    let first = world.post(address, json!({ "client_token": "t" })).await;
    assert_eq!(first.status, 202);
    assert_eq!(world.post(address, json!({ "client_token": "t" })).await.good(), first.good());
    assert_eq!(world.workflow.executions("refresh-image").len(), 3);
    let other = "/v1/customers/acme/services/web/machines/front/refreshes";
    let answer = world.post(other, json!({ "client_token": "t" })).await;
    assert_eq!(answer.refusal(), (409, "client-token-reused".to_owned()));
}
