#![expect(clippy::unwrap_used, reason = "test code")]
use async_trait::async_trait;
use lambda_runtime::Context;
use rekindle_cmdb::{EmbeddedRegister, Register, TaskToken};
use rekindle_domain::{MachineKey, RunId};
use rekindle_step::{Step, SystemClock, erase};
use serde::Deserialize;
use serde_json::json;
use tracing_subscriber::filter::Targets;

use super::*;
use crate::log::subscriber;
use crate::log::tests::Kept;

const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAAAAAAc4Hh6sesame";

/// Does what its input says.
struct Obedient;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    run_id: RunId,
    machine: MachineKey,
    task_token: TaskToken,
    command: String,
}

#[async_trait]
impl Step for Obedient {
    const NAME: &'static str = "obedient";
    type Input = Input;
    type Output = String;

    async fn run(&self, input: Input, context: &StepContext) -> Result<String, StepError> {
        tracing::trace!(?input, "at work for {}", input.machine);
        match input.command.as_str() {
            "fail" => Err(StepError::new(ErrorName::Superseded, "something newer is there")
                .because(std::io::Error::other("image 7"))
                .next_step("Nothing: it is as it should be")),
            "panic" => {
                assert!(input.run_id.as_str().is_empty(), "{}", input.task_token.as_str());
                Ok(String::new())
            }
            _ => Ok(context.state.clone()),
        }
    }
}

struct Bench {
    register: Register,
    invocations: Invocations,
    run_id: RunId,
    kept: Kept,
}

impl Bench {
    async fn new() -> Self {
        let register = EmbeddedRegister::in_memory().await.unwrap();
        let recorder = Recorder::new(register.clone(), Arc::new(SystemClock));
        let invocations = Invocations::new(erase(Obedient), recorder);
        Self { register, invocations, run_id: RunId::mint(), kept: Kept::default() }
    }

    fn payload(&self, command: &str) -> Value {
        let machine = MachineKey::parse("acme/orders/database").unwrap();
        json!({ "state": "Obey", "run_id": self.run_id, "machine": machine, "task_token": TOKEN, "command": command })
    }

    async fn invoke(&self, payload: Value) -> Result<Value, Diagnostic> {
        let filter = "trace,lambda_runtime=trace,rekindle_lambda_host=trace".parse::<Targets>().unwrap();
        let _guard = tracing::subscriber::set_default(subscriber(filter, self.kept.clone()));
        let mut context = Context::default();
        context.request_id = "8476a536".to_owned();
        let answer = self.invocations.handle(LambdaEvent::new(payload, context)).await;
        answer.map_err(|refusal| {
            assert!(!format!("{refusal:?}").contains("sesame"));
            refusal.into()
        })
    }
}

#[tokio::test]
async fn a_step_is_answered_recorded_and_logged_without_its_payload() {
    let bench = Bench::new().await;
    assert_eq!(bench.invoke(bench.payload("go")).await.unwrap(), "Obey");
    let records = bench.register.steps(&bench.run_id).await.unwrap();
    assert_eq!((records[0].name.as_str(), &records[0].error), ("Obey", &None));
    let lines = bench.kept.lines();
    let answered = lines.iter().find(|line| line["message"] == "answered").unwrap();
    let machine = "acme/orders/database";
    assert_eq!(
        answered["span"],
        json!({ "function": "obedient", "request_id": "8476a536", "state": "Obey",
                "run_id": bench.run_id, "machine": machine, "name": "invocation" })
    );
    assert!(lines.iter().any(|line| line["message"] == "at work for acme/orders/database"));
    assert!(!bench.kept.text().contains("sesame"), "{}", bench.kept.text());
}

#[tokio::test]
async fn an_error_has_its_stable_name_and_all_its_layers() {
    let bench = Bench::new().await;
    let error = bench.invoke(bench.payload("fail")).await.unwrap_err();
    assert_eq!(error.error_type, "Register.Superseded");
    assert_eq!(error.error_message, "something newer is there: image 7. Nothing: it is as it should be");
    let records = bench.register.steps(&bench.run_id).await.unwrap();
    assert_eq!(records[0].error.as_deref(), Some("Register.Superseded"));
    assert_eq!(bench.kept.lines().iter().filter(|line| line["message"] == "failed").count(), 1);
}

#[tokio::test]
async fn after_a_panic_the_next_invocation_is_served() {
    let bench = Bench::new().await;
    let error = bench.invoke(bench.payload("panic")).await.unwrap_err();
    assert_eq!(error.error_type, "Step.PermanentDirty");
    assert!(!error.error_message.contains("sesame"), "{}", error.error_message);
    bench.invoke(bench.payload("go")).await.unwrap();
    assert_eq!(bench.register.steps(&bench.run_id).await.unwrap().len(), 2);
    assert!(!bench.kept.text().contains("sesame"), "{}", bench.kept.text());
}

#[tokio::test]
async fn an_input_that_cannot_be_read_is_not_repeated_in_the_log() {
    let bench = Bench::new().await;
    let mut payload = bench.payload("go");
    payload["command"] = json!({ "of": TOKEN });
    payload["machine"] = json!(TOKEN);
    let error = bench.invoke(payload).await.unwrap_err();
    assert_eq!(error.error_type, "Step.InputInvalid");
    assert!(!bench.kept.text().contains("sesame"), "{}", bench.kept.text());
}
