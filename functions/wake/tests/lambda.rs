//! The program as Lambda runs it, against a Runtime API of our own (AWS, "Using the Lambda runtime API").
//!
//! `cargo nextest run -p rekindle-function-wake --features lambda`
#![expect(clippy::unwrap_used, reason = "test code")]
use std::convert::Infallible;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the program has told Lambda: the path, the error type in the header, the body.
type Told = (String, Option<String>, Value);

/// Hands out one event, and then none.
struct RuntimeApi {
    event: String,
    is_handed_out: AtomicBool,
    told: mpsc::UnboundedSender<Told>,
}

impl RuntimeApi {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path().trim_start_matches("/2018-06-01/runtime/").to_owned();
        if path == "invocation/next" {
            if self.is_handed_out.swap(true, Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let response = Response::builder()
                .header("lambda-runtime-aws-request-id", "8476a536")
                .header("lambda-runtime-deadline-ms", "4102444800000")
                .header(
                    "lambda-runtime-invoked-function-arn",
                    "arn:aws:lambda:eu-west-1:111122223333:function:wake",
                )
                .body(Full::from(self.event.clone()))
                .unwrap();
            return Ok(response);
        }
        let header = request.headers().get("lambda-runtime-function-error-type");
        let error_type = header.map(|value| value.to_str().unwrap().to_owned());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.told.send((path, error_type, serde_json::from_slice(&body).unwrap())).unwrap();
        Ok(Response::builder().status(202).body(Full::default()).unwrap())
    }
}

/// The address of a Runtime API that hands out this event, and what it is told.
async fn runtime_api(event: &Value) -> (String, mpsc::UnboundedReceiver<Told>) {
    let (told, is_told) = mpsc::unbounded_channel();
    let api = Arc::new(RuntimeApi { event: event.to_string(), is_handed_out: AtomicBool::new(false), told });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let api = api.clone();
            let service = service_fn(move |request| api.clone().answer(request));
            tokio::spawn(async move {
                let _ended = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, is_told)
}

const COMPLETE: [(&str, &str); 11] = [
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_LAMBDA_FUNCTION_NAME", "rekindle-wake"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("REKINDLE_TABLE", "rekindle"),
    ("REKINDLE_CONTROL_BUCKET", "control"),
    ("REKINDLE_STATE_MACHINES", "arn:aws:states:eu-west-1:111122223333:stateMachine:rekindle-"),
    ("REKINDLE_LOG", "trace"),
    // Nobody listens there.
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
];

fn start(address: &str, without: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_wake"))
        .env_clear()
        .envs(COMPLETE.into_iter().filter(|(name, _)| *name != without))
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Ends the program, where it has not ended, and reads its log: one object a line.
async fn log_of(mut program: Child) -> Vec<Value> {
    let _ended = program.start_kill();
    let output = program.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_missing_variable_ends_the_start_and_is_named() {
    for missing in ["REKINDLE_STATE_MACHINES", "REKINDLE_CONTROL_BUCKET", "REKINDLE_TABLE", "AWS_REGION"] {
        let (address, mut told) = runtime_api(&json!({})).await;
        let mut program = start(&address, missing);
        let (path, error_type, body) = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        assert_eq!(path, "init/error");
        assert_eq!(error_type.as_deref(), Some("Runtime.EnvironmentInvalid"));
        assert_eq!(body["errorType"], "Runtime.EnvironmentInvalid");
        let sentence = format!("the environment variable {missing} is missing");
        assert_eq!(body["errorMessage"], sentence);
        assert!(!timeout(PATIENCE, program.wait()).await.unwrap().unwrap().success());
        let log = log_of(program).await;
        assert_eq!(log.last().unwrap()["cause"], sentence);
    }
}

#[tokio::test]
async fn a_malformed_event_is_answered_under_a_stable_name() {
    let event = json!({ "source": "aws.s3", "detail": "sesame" });
    let (address, mut told) = runtime_api(&event).await;
    let program = start(&address, "");
    let (path, _, body) = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert_eq!(path, "invocation/8476a536/error");
    assert_eq!(body["errorType"], "Step.InputInvalid");
    let message = body["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("the event cannot be used: "), "{message}");
    let log = log_of(program).await;
    let failed = log.iter().find(|line| line["message"] == "failed").unwrap();
    assert_eq!(failed["error"], "Step.InputInvalid");
    assert_eq!(failed["span"]["function"], "wake");
    assert_eq!(failed["span"]["request_id"], "8476a536");
    assert!(!json!(log).to_string().contains("sesame"), "{}", json!(log));
}

#[tokio::test]
async fn an_object_that_describes_no_set_is_ignored() {
    let event = json!({
        "detail-type": "Object Created", "source": "aws.s3", "time": "2026-11-12T00:00:00Z",
        "detail": { "bucket": { "name": "control" }, "object": { "key": "reports/a", "sequencer": "00" } }
    });
    let (address, mut told) = runtime_api(&event).await;
    let program = start(&address, "");
    let answer = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert_eq!(answer, ("invocation/8476a536/response".to_owned(), None, json!({ "status": "Ignored" })));
    let log = log_of(program).await;
    assert!(log.iter().any(|line| line["message"] == "an object that describes no set"));
}
