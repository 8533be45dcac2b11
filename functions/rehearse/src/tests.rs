#![expect(clippy::unwrap_used, reason = "test code")]
use rekindle_contract_tests::StartedExecutions;
use rekindle_step::{ErrorName, SystemClock, erase};
use serde_json::{Value, json};

use super::*;

fn input(time: &str) -> Value {
    json!({
        "customer_id": "acme",
        "services": ["orders"],
        "schedule": "arn:aws:scheduler:eu-west-1:111122223333:schedule/rekindle/weekly",
        "scheduled_time": time
    })
}

async fn rehearse(workflow: &Arc<StartedExecutions>, input: Value) -> Result<Value, StepError> {
    let step = erase(Rehearse { workflow: workflow.clone(), clock: Arc::new(SystemClock) });
    step.invoke(input, &StepContext { state: "rehearse".to_owned() }).await
}

#[tokio::test]
async fn a_schedule_that_calls_twice_starts_one_rehearsal_and_the_next_time_another() {
    let workflow = Arc::new(StartedExecutions::default());
    let first = rehearse(&workflow, input("2026-11-12T03:00:00Z")).await.unwrap();
    assert_eq!(rehearse(&workflow, input("2026-11-12T03:00:00Z")).await.unwrap(), first);
    assert_ne!(rehearse(&workflow, input("2026-11-19T03:00:00Z")).await.unwrap(), first);
    let started = workflow.all();
    assert_eq!(started.len(), 2);
    let rehearsal = started[0].clone();
    assert_eq!(rehearsal.state_machine, "recover");
    assert_eq!(first, json!({ "run_id": rehearsal.name }));
    let request: Request = serde_json::from_value(rehearsal.input).unwrap();
    assert_eq!(request.kind, RecoveryKind::Rehearsal);
    assert_eq!(request.requested_by, "schedule:weekly");
    assert_eq!(request.reason, "the schedule weekly is due");
}

#[tokio::test]
async fn what_is_no_schedules_call_is_refused() {
    let workflow = Arc::new(StartedExecutions::default());
    for wrong in [json!({}), input("<aws.scheduler.scheduled-time>"), json!({ "customer_id": "acme" })] {
        assert_eq!(rehearse(&workflow, wrong).await.unwrap_err().name, ErrorName::InputInvalid);
    }
    assert!(workflow.all().is_empty());
}
