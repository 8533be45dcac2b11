//! Against answers in the shape that AWS documents (Step Functions API reference, AWS JSON 1.0).
#![expect(clippy::unwrap_used, reason = "test code")]
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sfn::config::retry::RetryConfig;
use aws_sdk_sfn::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::json;
use tracing_subscriber::filter::Targets;

use super::*;
use crate::log::subscriber;
use crate::log::tests::Kept;

const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAAAAAAc4Hh6sesame";
const MACHINE: &str = "arn:aws:states:eu-west-1:111122223333:stateMachine:rekindle-refresh-image";
const EXECUTION: &str = "arn:aws:states:eu-west-1:111122223333:execution:rekindle-refresh-image:01JCVE";

/// Answers what it was told to, and keeps what it was asked.
#[derive(Debug, Clone, Default)]
struct Recorded {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl HttpClient for Recorded {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Recorded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap().to_owned();
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        self.requests.lock().unwrap().push((target, body));
        let (status, answer) = self.answers.lock().unwrap().pop_front().unwrap();
        let body = SdkBody::from(answer.to_string());
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), body)))
    }
}

fn step_functions(answers: impl IntoIterator<Item = (u16, Value)>) -> (StepFunctions, Recorded) {
    let recorded =
        Recorded { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Recorded::default() };
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::disabled())
        .http_client(recorded.clone())
        .build();
    let machines = "arn:aws:states:eu-west-1:111122223333:stateMachine:rekindle-";
    (StepFunctions::new(&aws, StateMachines::parse("NAME", machines).unwrap()), recorded)
}

fn refusal(code: &str, message: &str) -> (u16, Value) {
    (400, json!({ "__type": format!("com.amazonaws.swf.service.v2.model#{code}"), "message": message }))
}

fn described(status: &str) -> (u16, Value) {
    (
        200,
        json!({ "executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": "01JCVE", "status": status,
                "startDate": 1_763_000_000.123, "input": "{}" }),
    )
}

#[tokio::test]
async fn an_execution_is_started_by_the_alias() {
    let answer = (200, json!({ "executionArn": EXECUTION, "startDate": 1_763_000_000.123 }));
    let (workflow, recorded) = step_functions([answer]);
    workflow.start_execution("refresh-image", "01JCVE", json!({ "machine": "m" })).await.unwrap();
    let requests = recorded.requests.lock().unwrap().clone();
    let asked = json!({ "stateMachineArn": format!("{MACHINE}:live"), "name": "01JCVE",
                        "input": "{\"machine\":\"m\"}" });
    assert_eq!(requests, [("AWSStepFunctions.StartExecution".to_owned(), asked)]);
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_apart_from_an_engine_that_does_not_answer() {
    let (workflow, _) = step_functions([
        refusal("ExecutionAlreadyExists", "Execution Already Exists"),
        refusal("ThrottlingException", "Rate exceeded"),
        refusal("StateMachineDoesNotExist", "State Machine Does Not Exist"),
        (500, json!({ "__type": "InternalServerError" })),
    ]);
    let start = async || workflow.start_execution("refresh-image", "01JCVE", json!({})).await.unwrap_err();
    assert!(matches!(start().await, StartError::AlreadyExists(name) if name == "01JCVE"));
    for code in ["ThrottlingException", "StateMachineDoesNotExist", "InternalServerError"] {
        assert!(matches!(start().await, StartError::Unavailable(what) if what == code), "{code}");
    }
}

#[tokio::test]
async fn what_step_functions_would_refuse_is_not_sent() {
    let (workflow, recorded) = step_functions([]);
    let long = json!("x".repeat(262_145));
    assert!(workflow.start_execution("refresh-image", "a b", json!({})).await.is_err());
    assert!(workflow.start_execution("refresh-image", "01JCVE", long.clone()).await.is_err());
    assert!(workflow.describe_execution("refresh-image", "").await.is_err());
    assert!(workflow.stop_execution("refresh-image", "a:b", "").await.is_err());
    let told = workflow.send_task_success(TOKEN, long).await;
    assert!(matches!(told, Err(CallbackError::Unavailable(_))));
    assert!(recorded.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn how_an_execution_stands() {
    let (workflow, recorded) = step_functions([
        described("RUNNING"),
        described("PENDING_REDRIVE"),
        described("SUCCEEDED"),
        described("TIMED_OUT"),
        refusal("ExecutionDoesNotExist", "Execution Does Not Exist"),
        refusal("ThrottlingException", "Rate exceeded"),
    ]);
    let describe = async || workflow.describe_execution("refresh-image", "01JCVE").await;
    for state in [
        ExecutionState::Running,
        ExecutionState::Running,
        ExecutionState::Terminal,
        ExecutionState::Terminal,
        ExecutionState::Unknown,
    ] {
        assert_eq!(describe().await.unwrap(), state);
    }
    assert!(matches!(describe().await, Err(StartError::Unavailable(_))));
    let (_, asked) = recorded.requests.lock().unwrap()[0].clone();
    assert_eq!(asked["executionArn"], EXECUTION);
}

#[tokio::test]
async fn an_execution_that_nobody_knows_is_stopped_already() {
    let (workflow, recorded) = step_functions([
        (200, json!({ "stopDate": 1_763_000_000.123 })),
        refusal("ExecutionDoesNotExist", "Execution Does Not Exist"),
        refusal("ThrottlingException", "Rate exceeded"),
    ]);
    let stop = async || workflow.stop_execution("refresh-image", "01JCVE", "its deadline has passed").await;
    stop().await.unwrap();
    stop().await.unwrap();
    assert!(stop().await.is_err());
    let (_, asked) = recorded.requests.lock().unwrap()[0].clone();
    let told =
        json!({ "executionArn": EXECUTION, "error": "Rekindle.Stopped", "cause": "its deadline has passed" });
    assert_eq!(asked, told);
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_gone_and_no_error_repeats_the_token() {
    let (workflow, _) = step_functions([
        refusal("TaskDoesNotExist", TOKEN),
        refusal("TaskTimedOut", TOKEN),
        refusal("InvalidToken", TOKEN),
        refusal("ThrottlingException", TOKEN),
        refusal("ValidationException", TOKEN),
        (200, json!({})),
    ]);
    for _ in 0..3 {
        assert!(matches!(workflow.send_task_heartbeat(TOKEN).await, Err(CallbackError::Gone)));
    }
    for _ in 0..2 {
        let error = workflow.send_task_failure(TOKEN, "Agent.Failed", "it rained").await.unwrap_err();
        assert!(matches!(error, CallbackError::Unavailable(_)));
        assert!(!format!("{error:?} {error}").contains("sesame"));
    }
    workflow.send_task_success(TOKEN, json!({})).await.unwrap();
}

#[tokio::test]
async fn every_call_is_logged_by_its_name_and_by_nothing_else() {
    let kept = Kept::default();
    let filter = "trace,aws_smithy_runtime=trace".parse::<Targets>().unwrap();
    let guard = tracing::subscriber::set_default(subscriber(filter, kept.clone()));
    let (workflow, _) = step_functions([(200, json!({})), refusal("TaskTimedOut", TOKEN)]);
    workflow.send_task_heartbeat(TOKEN).await.unwrap();
    workflow.send_task_success(TOKEN, json!({ "secret": "sesame" })).await.unwrap_err();
    drop(guard);
    let lines = kept.lines();
    let calls: Vec<_> = lines.iter().filter(|line| line["target"] == "rekindle::aws_call").collect();
    let operations: Vec<_> =
        calls.iter().map(|call| (call["service"].clone(), call["operation"].clone())).collect();
    assert_eq!(
        operations,
        [(json!("SFN"), json!("SendTaskHeartbeat")), (json!("SFN"), json!("SendTaskSuccess"))]
    );
    let fields: Vec<_> = calls[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["timestamp", "level", "service", "operation", "target"]);
    assert!(!kept.text().contains("sesame"), "{}", kept.text());
}
