#![expect(clippy::unwrap_used, reason = "test code")]
use std::sync::Mutex;

use rekindle_step::{CallbackError, ErrorName, ExecutionState, SystemClock, erase};
use serde_json::{Value, json};

use super::*;

#[derive(Default)]
struct Started(Mutex<Vec<(String, String, Value)>>);

#[async_trait]
impl Workflow for Started {
    async fn start_execution(&self, machine: &str, name: &str, input: Value) -> Result<(), StartError> {
        let mut started = self.0.lock().unwrap();
        if started.iter().any(|(_, known, _)| known == name) {
            return Err(StartError::AlreadyExists(name.to_owned()));
        }
        started.push((machine.to_owned(), name.to_owned(), input));
        Ok(())
    }

    async fn describe_execution(&self, _: &str, _: &str) -> Result<ExecutionState, StartError> {
        Ok(ExecutionState::Unknown)
    }

    async fn stop_execution(&self, _: &str, _: &str, _: &str) -> Result<(), StartError> {
        Ok(())
    }

    async fn send_task_success(&self, _: &str, _: Value) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }

    async fn send_task_failure(&self, _: &str, _: &str, _: &str) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }

    async fn send_task_heartbeat(&self, _: &str) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }
}

fn input(time: &str) -> Value {
    json!({
        "customer_id": "acme",
        "services": ["orders"],
        "schedule": "arn:aws:scheduler:eu-west-1:111122223333:schedule/rekindle/weekly",
        "scheduled_time": time
    })
}

async fn rehearse(workflow: &Arc<Started>, input: Value) -> Result<Value, StepError> {
    let step = erase(Rehearse { workflow: workflow.clone(), clock: Arc::new(SystemClock) });
    step.invoke(input, &StepContext { state: "rehearse".to_owned(), retry_count: 0 }).await
}

#[tokio::test]
async fn a_schedule_that_calls_twice_starts_one_rehearsal_and_the_next_time_another() {
    let workflow = Arc::new(Started::default());
    let first = rehearse(&workflow, input("2026-11-12T03:00:00Z")).await.unwrap();
    assert_eq!(rehearse(&workflow, input("2026-11-12T03:00:00Z")).await.unwrap(), first);
    assert_ne!(rehearse(&workflow, input("2026-11-19T03:00:00Z")).await.unwrap(), first);
    let started = workflow.0.lock().unwrap();
    assert_eq!(started.len(), 2);
    let (flow, run_id, request) = started[0].clone();
    assert_eq!(flow, "recover");
    assert_eq!(first, json!({ "run_id": run_id }));
    let request: Request = serde_json::from_value(request).unwrap();
    assert_eq!(request.kind, RecoveryKind::Rehearsal);
    assert_eq!(request.requested_by, "schedule:weekly");
    assert_eq!(request.reason, "the schedule weekly is due");
}

#[tokio::test]
async fn what_is_no_schedules_call_is_refused() {
    let workflow = Arc::new(Started::default());
    for wrong in [json!({}), input("<aws.scheduler.scheduled-time>"), json!({ "customer_id": "acme" })] {
        assert_eq!(rehearse(&workflow, wrong).await.unwrap_err().name, ErrorName::InputInvalid);
    }
    assert!(workflow.0.lock().unwrap().is_empty());
}
