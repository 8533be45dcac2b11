//! A service becomes known.

use rekindle_domain::CustomerId;
use rekindle_domain::configuration::RevisionId;
use serde_json::{Value, json};

use crate::world::{ADA, World, machine, with};

const ONE: &str = "/v1/customers/acme/services/invoices";

fn body(token: &str) -> Value {
    json!({ "client_token": token, "service": {
        "customer_id": "acme", "service_id": "invoices", "display_name": "Invoices",
        "objectives": { "recovery_time": 900, "recovery_point": 3600 },
        "machines": [{ "machine_id": "database", "instance_types": ["m7i.large"], "zones": ["eu-west-1a"] }],
    }})
}

fn whole(token: &str) -> Value {
    let mut body = body(token);
    body["service"]["machines"][0]["base_image"] = json!("ami-base");
    body["service"]["ssh_key_name"] = json!("acme-operations");
    body["service"]["signing_keys"] = json!(["RWQ"]);
    body
}

fn sentences(view: &Value) -> String {
    view["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn onboarding_gives_out_names_and_says_what_is_missing() {
    let world = World::new().await;
    let answer = world.post("/v1/services", body("one")).await;
    assert_eq!(answer.status, 202);
    let onboarded = answer.good();
    assert_eq!(
        onboarded["names"],
        json!({
            "object_prefix": "customers/acme/services/invoices/",
            "key_alias": "alias/rekindle-data",
            "instance_role": "rekindle-eu-west-1-instance",
            "backup_role": "rekindle-eu-west-1-backup",
            "ssh_key_name": "rekindle-acme-invoices",
        })
    );
    let missing = sentences(&onboarded);
    for part in ["signing key", "key pair", "base image of database", "configuration", "backup of database"] {
        assert!(missing.contains(part), "{part}: {missing}");
    }
    assert_eq!(onboarded["service"]["machines"][0]["base_image"], json!(null));
    assert_eq!(onboarded["readiness"]["state"], "NotReady");
    let refreshes = world.workflow.executions("refresh-image");
    assert_eq!(refreshes.len(), 1);
    assert_eq!(onboarded["refreshes"]["database"], refreshes[0].0);
    assert_eq!(refreshes[0].1, json!({ "machine": machine("acme/invoices/database") }));
    // The sweep walks the list of customers.
    assert_eq!(world.register.all_machines().await.unwrap(), [machine("acme/invoices/database")]);
}

#[tokio::test]
async fn what_is_whole_misses_a_backup_and_a_configuration_only() {
    let world = World::new().await;
    let onboarded = world.post("/v1/services", whole("one")).await.good();
    assert_eq!(onboarded["missing"].as_array().unwrap().len(), 2, "{}", onboarded["missing"]);
    let host = machine("acme/invoices/database");
    world.register.publish_configuration(&host.service(), &RevisionId::of(b"r"), 1).await.unwrap();
    world.add_image(&host, "ami-1", 1, crate::world::ago(10)).await;
    let view = world.get(ONE).await.good();
    assert_eq!(view["missing"], json!([]));
    assert_eq!(view["readiness"]["state"], "Ready");
    assert_eq!(view["machines"][0]["latest_image"]["image_id"], "ami-1");
    assert_eq!(view["machines"][0]["latest_image"]["verdict"], "DataProven");
    assert_eq!(view["machines"][0]["latest_image"]["proof"], "3 checks held");
}

#[tokio::test]
async fn a_service_whose_data_is_too_old_misses_its_objectives() {
    let world = World::new().await;
    world.post("/v1/services", whole("one")).await.good();
    world.add_image(&machine("acme/invoices/database"), "ami-1", 1, crate::world::ago(61)).await;
    let readiness = world.get(ONE).await.good()["readiness"].clone();
    assert_eq!(readiness["state"], "ObjectivesMissed");
    assert!(readiness["sentence"].as_str().unwrap().contains("61 min"), "{readiness}");
}

#[tokio::test]
async fn a_dependency_that_nobody_onboarded_is_missing() {
    let world = World::new().await;
    let mut body = whole("one");
    body["service"]["depends_on"] = json!(["directory"]);
    let onboarded = world.post("/v1/services", body).await.good();
    assert!(sentences(&onboarded).contains("directory, which is not onboarded"));
}

#[tokio::test]
async fn the_same_service_again_is_the_same_and_another_one_is_refused() {
    let world = World::new().await;
    let first = world.post("/v1/services", body("one")).await.good();
    assert_eq!(world.post("/v1/services", body("one")).await.good()["refreshes"], first["refreshes"]);
    // Without the token of the first time, by equal content; a configuration that was published since is no difference.
    let host = machine("acme/invoices/database");
    world.register.publish_configuration(&host.service(), &RevisionId::of(b"r"), 1).await.unwrap();
    let again = world.post("/v1/services", body("two")).await.good();
    assert_eq!(again["version"], 2);
    let mut other = body("three");
    other["service"]["display_name"] = json!("Bills");
    let answer = world.post("/v1/services", other.clone()).await;
    assert_eq!(answer.refusal(), (409, "service-exists".to_owned()));
    let answer = world.post("/v1/services", with(other, "client_token", json!("one"))).await;
    assert_eq!(answer.refusal(), (409, "client-token-reused".to_owned()));
    assert_eq!(world.get(ONE).await.good()["service"]["display_name"], "Invoices");
}

#[tokio::test]
async fn an_engine_that_is_away_is_told_at_the_next_try() {
    let world = World::new().await;
    world.workflow.set_reachable(false);
    let answer = world.post("/v1/services", body("one")).await;
    assert_eq!(answer.refusal(), (503, "workflow-unavailable".to_owned()));
    world.workflow.set_reachable(true);
    let onboarded = world.post("/v1/services", body("one")).await.good();
    assert_eq!(onboarded["refreshes"]["database"], world.workflow.executions("refresh-image")[0].0);
}

#[tokio::test]
async fn a_service_is_changed_by_the_version_that_was_read() {
    let world = World::new().await;
    world.post("/v1/services", body("one")).await.good();
    let host = machine("acme/invoices/database");
    world.register.publish_configuration(&host.service(), &RevisionId::of(b"r"), 1).await.unwrap();
    let change = |version: u64| json!({ "version": version, "service": whole("")["service"] }).to_string();
    let answer = world.call(ADA, "PUT", ONE, change(1)).await;
    assert_eq!(answer.refusal(), (409, "version-moved".to_owned()));
    let view = world.call(ADA, "PUT", ONE, change(2)).await.good();
    assert_eq!((&view["version"], &view["service"]["ssh_key_name"]), (&json!(3), &json!("acme-operations")));
    assert_eq!(view["service"]["configuration"]["counter"], 1);
    // The answer was lost.
    assert_eq!(world.call(ADA, "PUT", ONE, change(2)).await.good()["version"], 3);

    let mut other = whole("")["service"].clone();
    other["machines"][0]["machine_id"] = json!("elsewhere");
    let lost = json!({ "version": 3, "service": other }).to_string();
    assert_eq!(world.call(ADA, "PUT", ONE, lost).await.refusal(), (422, "body-invalid".to_owned()));
    let renamed = with(whole("")["service"].clone(), "service_id", json!("bills"));
    let renamed = json!({ "version": 3, "service": renamed }).to_string();
    assert_eq!(world.call(ADA, "PUT", ONE, renamed).await.refusal().1, "body-invalid");
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let world = World::new().await;
    let machine = body("")["service"]["machines"][0].clone();
    let many: Vec<Value> =
        (0..33).map(|n| with(machine.clone(), "machine_id", json!(format!("m{n}")))).collect();
    for (field, value) in [
        ("display_name", json!("")),
        ("display_name", json!("a\u{202e}b")),
        ("display_name", json!("x".repeat(256))),
        ("objectives", json!({ "recovery_time": 0, "recovery_point": 1 })),
        ("objectives", json!({ "recovery_time": 1, "recovery_point": -1 })),
        ("objectives", json!({ "recovery_time": 1e300, "recovery_point": 1 })),
        ("machines", json!([])),
        ("machines", json!([machine, machine])),
        ("machines", json!(many)),
        ("machines", json!([with(machine.clone(), "zones", json!([]))])),
        ("machines", json!([with(machine.clone(), "instance_types", json!(["a\nb"]))])),
        ("machines", json!([with(machine.clone(), "zones", json!(vec!["z"; 21]))])),
        ("depends_on", json!(["invoices"])),
        ("ssh_key_name", json!("")),
        ("signing_keys", json!(vec!["RWQ"; 17])),
        ("signing_keys", json!(["x".repeat(257)])),
        ("concurrent_builders", json!(0)),
        ("concurrent_builders", json!(101)),
        ("approval", json!({ "name": "", "approved_beforehand": [], "deadline": 60 })),
        ("approval", json!({ "name": "n", "approved_beforehand": [], "deadline": 0 })),
    ] {
        let mut body = body("one");
        body["service"][field] = value.clone();
        let answer = world.post("/v1/services", body).await;
        assert_eq!(answer.refusal(), (422, "body-invalid".to_owned()), "{field}: {value}");
    }
    assert!(world.register.customers().await.unwrap().is_empty());
}

/// The roles of the functions read and write what belongs to the deployment's customer only.
#[tokio::test]
async fn a_deployment_serves_its_own_customer_only() {
    let acme = CustomerId::parse("acme").unwrap();
    assert_eq!(World::of_customer(Some(acme)).await.post("/v1/services", body("one")).await.status, 202);
    let world = World::of_customer(Some(CustomerId::parse("globex").unwrap())).await;
    let answer = world.post("/v1/services", body("one")).await;
    assert_eq!(answer.refusal(), (422, "customer-foreign".to_owned()));
    assert!(answer.json()["detail"].as_str().unwrap().contains("globex"), "{}", answer.text);
    assert!(world.register.customers().await.unwrap().is_empty());
    assert!(world.workflow.executions("refresh-image").is_empty());
}
