//! What comes from outside is refused by name, and changes nothing.

use aws_credential_types::Credentials;
use rekindle_api::AGENT_ROUTES;
use rekindle_domain::JobOutcome;
use rekindle_end_to_end_aws_tests::command_line::aws;
use rekindle_end_to_end_aws_tests::customer::{SLOW_PROBE, Wishes};
use rekindle_end_to_end_aws_tests::executions;
use rekindle_end_to_end_aws_tests::http_api::HttpApi;
use rekindle_end_to_end_aws_tests::machines::session;
use rekindle_end_to_end_aws_tests::world::World;
use serde_json::{Value, json};

/// Method and path of every operation of the operator API, with something in the place of each name.
fn operator_routes() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(include_str!("../../../../infra/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, operations)| {
        let filled: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "acme" } else { part }).collect();
        let path = filled.join("/");
        let methods = operations.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    });
    operations.collect()
}

#[test]
#[ignore = "needs the emulators"]
fn unsigned_and_foreign_callers_are_refused_at_every_route() {
    let world = World::new("strangers");
    let foreign =
        Credentials::new("AKIAFOREIGN000000000", "not a secret of this account", None, None, "a stranger");
    let instance = session_of(&world, "InstanceRoleArn", "i-0123456789abcdef0");
    let production = session_of(&world, "BackupRoleArn", "production");
    for credentials in [None, Some(foreign.clone()), instance, production.clone()] {
        let operator = HttpApi { credentials, ..world.operator() };
        let routes = operator_routes();
        assert!(routes.len() > 15, "{routes:?}");
        for (method, path) in routes {
            assert_refused(&operator, &method, &path);
        }
    }
    for credentials in [None, Some(foreign), production] {
        let agent = HttpApi { credentials, ..world.agent_api(None) };
        for route in AGENT_ROUTES {
            assert_refused(&agent, route.method, &route.path.replace("{step}", "verify"));
        }
    }
}

fn session_of(world: &World, role: &str, name: &str) -> Option<Credentials> {
    world.agent_api(Some(&session(world.deployment.output(role), name))).credentials
}

fn assert_refused(api: &HttpApi, method: &str, path: &str) {
    let answer = api.ask_once(method, path, Vec::new());
    assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
}

#[test]
#[ignore = "needs the emulators"]
fn a_body_of_ten_megabytes_is_refused() {
    let world = World::new("large");
    let agent = HttpApi {
        credentials: session_of(&world, "InstanceRoleArn", "i-0123456789abcdef0"),
        ..world.agent_api(None)
    };
    for (api, path) in [(world.operator(), "/v1/services"), (agent, "/v1/jobs/verify/outcome")] {
        let answer = api.ask_once("POST", path, vec![b' '; 10 * 1024 * 1024]);
        assert_eq!(answer.status, 413, "{path}: {}", answer.body);
    }
}

#[test]
#[ignore = "needs the emulators"]
fn an_instance_that_belongs_to_no_run_gets_and_reports_nothing() {
    let world = World::new("unbound");
    let role = world.deployment.output("InstanceRoleArn");
    let agent = world.agent_api(Some(&session(role, "i-0123456789abcdef0")));
    let answer = agent.ask("GET", "/v1/job", None);
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (403, Some("unbound-instance")),
        "{}",
        answer.body
    );
    let answer = agent.ask("POST", "/v1/jobs/verify/outcome", Some(&failure("invented")));
    assert_eq!(answer.body["code"], "unbound-instance", "{} {}", answer.status, answer.body);
}

/// As an agent reports it.
fn failure(cause: &str) -> Value {
    json!(JobOutcome::Failed { error: "Agent.Failed".to_owned(), cause: cause.to_owned() })
}

#[test]
#[ignore = "needs the emulators"]
fn results_that_are_replayed_or_meant_for_another_run_change_nothing() {
    let world = World::with(Wishes { probe: SLOW_PROBE, ..Wishes::ordinary("replayed") });
    world.onboard();
    world.back_up();
    let image = world.image_number(1);
    let run_id = image["run_id"].as_str().unwrap();
    let before = world.ended(run_id);
    let old = world.machines.described().into_iter().find(|instance| instance.run == run_id).unwrap();
    world.wait_until_nothing_runs();

    // A second run's builder verifies, while the first one's reports once more.
    world.customer.write_orders(10);
    world.back_up();
    let waiting = world.refresh_in("Verify");
    world.machines.freeze();
    let session = session(world.deployment.output("InstanceRoleArn"), &old.instance_id);
    let agent = world.agent_api(Some(&session));
    let report = |step: &str| {
        agent.ask("POST", &format!("/v1/jobs/{step}/outcome"), Some(&failure("replayed"))).status
    };
    // What was done stays done, and a boot is reported by nobody but the greeting.
    assert_eq!(["transfer-and-restore", "verify", "seal"].map(report), [204; 3]);
    assert_eq!(report("start-instance"), 410);
    assert_eq!(executions::status(&waiting), "RUNNING");
    let after = world.ended(run_id);
    assert_eq!(after["run"], before["run"]);

    world.machines.thaw();
    world.image_number(2);
    world.wait_until_nothing_runs();
}

#[test]
#[ignore = "needs the emulators"]
fn events_that_are_malformed_or_of_another_bucket_start_nothing() {
    let world = World::new("events");
    world.onboard();
    let bucket = world.deployment.output("ControlBucketName");
    let key = "customers/acme/services/events/machines/database/sets/01J00000000000000000000000/set.json";
    let before = world.refreshes().len();
    for event in [json!({}), json!([]), event("somebody-elses-bucket", key)] {
        let error = world.call("wake", &event).expect_err("it was taken");
        assert_eq!(error["errorType"], "Step.InputInvalid", "{error}");
    }
    let ignored = world.call("wake", &event(bucket, "../set.json")).unwrap();
    assert!(ignored["run_id"].is_null(), "{ignored}");
    assert_eq!(world.refreshes().len(), before);
}

#[test]
#[ignore = "needs the emulators"]
fn an_event_that_comes_three_times_refreshes_once() {
    let world = World::new("doubled");
    world.onboard();
    let backup = world.back_up();
    world.image_number(1);
    world.wait_until_nothing_runs();
    let event = event(world.deployment.output("ControlBucketName"), &world.set_description_key(&backup));
    let run_ids: Vec<Value> = (0..3).map(|_| world.call("wake", &event).unwrap()["run_id"].clone()).collect();
    assert!(run_ids[0].is_string() && run_ids.iter().all(|run_id| *run_id == run_ids[0]), "{run_ids:?}");
    let started = world.refreshes();
    let of_the_event = started.iter().filter(|execution| executions::run_of(execution) == run_ids[0]);
    assert_eq!(of_the_event.count(), 1, "{started:?}");
    world.ended(run_ids[0].as_str().unwrap());
    assert_eq!(world.images().len(), 1);
    let builders = aws(&[
        "ec2",
        "describe-instances",
        "--filters",
        "Name=tag:rekindle:machine,Values=acme/doubled/database",
    ]);
    assert_eq!(builders["Reservations"].as_array().unwrap().len(), 1, "{builders}");
}

fn event(bucket: &str, key: &str) -> Value {
    json!({
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-11-22T12:00:00Z",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "00", "version-id": "again"}},
    })
}
