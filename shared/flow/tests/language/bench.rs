//! What the tests run flows on: functions that do as their name says, and a clock that starts at a known time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rekindle_flow::{
    Execution, HistoryEvent, Invocation, LoadError, Runner, RunnerOptions, StateMachine, Substitutions,
    TaskError, TaskInvoker,
};
use serde_json::{Value, json};

pub const EPOCH: &str = "2026-11-22T12:00:00Z";

/// Functions by name: `echo` gives its payload back; `fail` fails with `payload.error`; `script` fails with each of
/// `payload.errors` in turn and then gives `payload.then`; `slow` gives its payload back after `payload.seconds`;
/// `hang` never ends; `token` keeps `payload.token`; `large` gives more than a payload may have.
#[derive(Default)]
pub struct Functions {
    pub calls: Mutex<Vec<Invocation>>,
    pub tokens: Mutex<Vec<String>>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    now: usize,
    most: usize,
    dropped: usize,
    scripts: BTreeMap<String, usize>,
}

struct Presence<'a>(&'a Functions, bool);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        let mut running = self.0.running.lock().unwrap();
        running.now -= 1;
        running.dropped += usize::from(!self.1);
    }
}

impl Functions {
    fn enter(&self) -> Presence<'_> {
        let mut running = self.running.lock().unwrap();
        running.now += 1;
        running.most = running.most.max(running.now);
        Presence(self, false)
    }

    pub fn call_count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// The most invocations that ran at once.
    pub fn most_at_once(&self) -> usize {
        self.running.lock().unwrap().most
    }

    /// The invocations that were dropped before their end.
    pub fn dropped(&self) -> usize {
        self.running.lock().unwrap().dropped
    }

    pub fn token(&self, index: usize) -> String {
        self.tokens.lock().unwrap()[index].clone()
    }

    fn next_error(&self, payload: &Value) -> Option<String> {
        let mut running = self.running.lock().unwrap();
        let used = running.scripts.entry(payload.to_string()).or_default();
        let error = payload["errors"].get(*used)?.as_str()?.to_owned();
        *used += 1;
        Some(error)
    }
}

#[async_trait]
impl TaskInvoker for Functions {
    async fn invoke(&self, invocation: Invocation) -> Result<Value, TaskError> {
        self.calls.lock().unwrap().push(invocation.clone());
        let mut presence = self.enter();
        let payload = invocation.payload;
        let answer = match invocation.function_name.as_str() {
            "echo" => Ok(payload),
            "fail" => Err(TaskError::new(payload["error"].as_str().unwrap(), "as told")),
            "script" => match self.next_error(&payload) {
                Some(error) => Err(TaskError::new(error, "as scripted")),
                None => Ok(payload["then"].clone()),
            },
            "slow" => {
                tokio::time::sleep(Duration::from_secs(payload["seconds"].as_u64().unwrap())).await;
                Ok(payload)
            }
            "hang" => std::future::pending().await,
            "token" => {
                let token = payload["token"].as_str().unwrap().to_owned();
                self.tokens.lock().unwrap().push(token);
                Ok(json!("kept"))
            }
            "large" => Ok(Value::from("x".repeat(262_145))),
            other => panic!("no function {other:?}"),
        };
        presence.1 = true;
        answer
    }
}

/// A runner with its functions.
pub struct Bench {
    pub runner: Runner,
    pub functions: Arc<Functions>,
}

impl Bench {
    pub fn new() -> Self {
        let functions = Arc::new(Functions::default());
        let options = RunnerOptions { jitter_seed: 7, epoch: EPOCH.parse().unwrap(), observer: None };
        Self { runner: Runner::new(functions.clone(), options), functions }
    }

    /// A bench with one machine, `flow`, of these states, of which the first is the start.
    pub fn of(states: Value) -> Self {
        let bench = Self::new();
        bench.runner.add(machine("flow", &states));
        bench
    }

    pub async fn start(&self, input: Value) {
        self.runner.start_execution("flow", "run", input).await.unwrap();
    }

    pub async fn run(&self, input: Value) -> Execution {
        self.start(input).await;
        self.runner.wait("flow", "run").await.unwrap()
    }

    pub fn history(&self) -> Vec<HistoryEvent> {
        self.runner.history("flow", "run")
    }

    pub fn event_names(&self) -> Vec<&'static str> {
        self.history().iter().map(|event| event.event_type.as_str()).collect()
    }

    /// Seconds since the epoch on the clock of the runner.
    pub fn seconds(&self) -> f64 {
        let epoch: jiff::Timestamp = EPOCH.parse().unwrap();
        self.runner.now().duration_since(epoch).as_secs_f64()
    }
}

/// The text of a machine of these states, of which the first is the start.
pub fn text(states: &Value) -> String {
    let start = states.as_object().unwrap().keys().next().unwrap();
    json!({ "QueryLanguage": "JSONata", "StartAt": start, "States": states }).to_string()
}

pub fn machine(name: &str, states: &Value) -> StateMachine {
    parse(name, states).unwrap()
}

pub fn parse(name: &str, states: &Value) -> Result<StateMachine, LoadError> {
    StateMachine::parse(&format!("{name}.asl.json"), &text(states), &Substitutions::default())
}

/// The members of `more` over those of `base`.
pub fn with(mut base: Value, more: Value) -> Value {
    for (name, member) in more.as_object().unwrap() {
        base[name] = member.clone();
    }
    base
}

/// A Task that invokes a function, and is the end.
pub fn task(function: &str, payload: Value) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": { "FunctionName": function, "Payload": payload },
        "End": true,
    })
}

/// A Task that waits for its token, and is the end.
pub fn waiting_task() -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Arguments": { "FunctionName": "token", "Payload": { "token": "{% $states.context.Task.Token %}" } },
        "End": true,
    })
}

/// Runs a machine of one Pass and gives its output.
pub async fn output_of(output: Value, input: Value) -> Execution {
    Bench::of(json!({ "Pass": { "Type": "Pass", "Output": output, "End": true } })).run(input).await
}

/// Lets everything that can run do so, without time passing.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
