#![expect(clippy::unwrap_used, reason = "test code")]
use rekindle_contract_tests::StartedExecutions;
use rekindle_domain::BackupId;
use rekindle_step::ErrorName;
use serde_json::json;

use super::*;

/// The event of the S3 user guide, with our names in it.
fn created(bucket: &str, key: &str, sequencer: &str) -> Value {
    json!({
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-12T00:00:00Z",
        "region": "eu-west-1",
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {
            "version": "0",
            "bucket": { "name": bucket },
            "object": {
                "key": key,
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
                "sequencer": sequencer
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject"
        }
    })
}

async fn wake(workflow: &Arc<StartedExecutions>, event: Value) -> Result<Output, StepError> {
    let step = Wake { control_bucket: "control".to_owned(), workflow: workflow.clone() };
    step.run(event, &StepContext { state: "wake".to_owned() }).await
}

fn description() -> (MachineKey, String) {
    let machine = MachineKey::parse("acme/orders/database").unwrap();
    let key = machine.set_description_key(&BackupId::mint());
    (machine, key.as_str().to_owned())
}

#[tokio::test]
async fn an_event_that_comes_twice_starts_one_refresh_and_a_new_version_another() {
    let workflow = Arc::new(StartedExecutions::default());
    let (machine, key) = description();
    let first = wake(&workflow, created("control", &key, "00617F08299329D189")).await.unwrap();
    let mut again = created("control", &key, "00617F08299329D189");
    again["id"] = json!("another delivery");
    assert_eq!(wake(&workflow, again).await.unwrap(), first);
    let other = wake(&workflow, created("control", &key, "00617F08299329D190")).await.unwrap();
    assert_ne!(other, first);
    let started = workflow.all();
    assert_eq!(started.len(), 2);
    let refresh = &started[0];
    assert_eq!(refresh.state_machine, "refresh-image");
    assert_eq!(refresh.input, json!({ "machine": machine }));
    assert_eq!(first, Output::Started { run_id: RunId::parse(&refresh.name).unwrap(), machine });
}

#[tokio::test]
async fn objects_that_describe_no_set_are_ignored() {
    let workflow = Arc::new(StartedExecutions::default());
    let (_, key) = description();
    for key in [format!("{key}.minisig"), "reports/report.json".to_owned(), "../set.json".to_owned()] {
        assert_eq!(wake(&workflow, created("control", &key, "00")).await.unwrap(), Output::Ignored);
    }
    assert!(workflow.all().is_empty());
}

#[tokio::test]
async fn what_is_no_event_of_the_control_bucket_is_refused() {
    let workflow = Arc::new(StartedExecutions::default());
    let (_, key) = description();
    let foreign = created("elsewhere", &key, "00");
    let mut deleted = created("control", &key, "00");
    deleted["detail-type"] = json!("Object Deleted");
    let mut other = created("control", &key, "00");
    other["source"] = json!("acme.orders");
    let mut timeless = created("control", &key, "00");
    timeless["time"] = json!("yesterday");
    let mut shapeless = created("control", &key, "00");
    shapeless["detail"] = json!({ "bucket": "control" });
    for event in [foreign, deleted, other, timeless, shapeless, json!({}), json!(null), json!("x")] {
        let error = wake(&workflow, event).await.unwrap_err();
        assert_eq!(error.name, ErrorName::InputInvalid);
        assert!(error.chain().starts_with("the event cannot be used: "), "{}", error.chain());
    }
    assert!(workflow.all().is_empty());
}
