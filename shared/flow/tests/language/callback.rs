//! Tasks that wait for their token (AWS, "Wait for a Callback with Task Token").

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rekindle_flow::ExecutionStatus::{Failed, Running, Succeeded};
use rekindle_flow::{CallbackError, Invocation, Runner, RunnerOptions, TaskError, TaskInvoker};
use serde_json::{Value, json};

use crate::bench::{Bench, machine, settle, task, waiting_task, with};

async fn started(states: Value) -> Bench {
    let bench = Bench::of(states);
    bench.start(json!({})).await;
    settle().await;
    bench
}

// The result is the output of SendTaskSuccess itself, without the envelope of Lambda.
#[tokio::test(start_paused = true)]
async fn the_result_is_what_is_sent() {
    let bench = started(json!({ "A": waiting_task() })).await;
    assert_eq!(bench.runner.describe_execution("flow", "run").unwrap().status, Running);
    bench.runner.send_task_success(&bench.functions.token(0), json!({ "n": 1 })).unwrap();
    let execution = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!((execution.status, execution.output), (Succeeded, Some(json!({ "n": 1 }))));
    assert!(bench.functions.calls.lock().unwrap()[0].waits_for_callback);
}

// AWS, SendTaskFailure.
#[tokio::test(start_paused = true)]
async fn a_failure_is_retried_and_caught_as_any_other() {
    let states = json!({
        "A": with(waiting_task(), json!({
            "Retry": [{ "ErrorEquals": ["Busy"] }],
            "Catch": [{ "ErrorEquals": ["Broken"], "Next": "B" }],
        })),
        "B": { "Type": "Pass", "End": true },
    });
    let bench = started(states).await;
    bench.runner.send_task_failure(&bench.functions.token(0), "Busy", "later").unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.runner.send_task_failure(&bench.functions.token(1), "Broken", "for good").unwrap();
    let execution = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!(execution.output, Some(json!({ "Error": "Broken", "Cause": "for good" })));
}

// AWS, SendTaskSuccess, errors TaskDoesNotExist, TaskTimedOut and InvalidOutput.
#[tokio::test(start_paused = true)]
async fn only_the_first_answer_of_a_waiting_task_counts() {
    let bench = started(json!({ "A": waiting_task() })).await;
    let (runner, token) = (&bench.runner, bench.functions.token(0));
    assert_eq!(runner.send_task_success("unknown", json!(1)), Err(CallbackError::TaskDoesNotExist));
    assert_eq!(runner.send_task_heartbeat("unknown"), Err(CallbackError::TaskDoesNotExist));
    let large = json!("x".repeat(262_145));
    assert_eq!(runner.send_task_success(&token, large), Err(CallbackError::InvalidOutput));
    assert_eq!(runner.send_task_heartbeat(&token), Ok(()));
    assert_eq!(runner.send_task_success(&token, json!("first")), Ok(()));
    assert_eq!(runner.send_task_success(&token, json!("second")), Err(CallbackError::TaskTimedOut));
    assert_eq!(runner.send_task_failure(&token, "E", "late"), Err(CallbackError::TaskTimedOut));
    assert_eq!(runner.send_task_heartbeat(&token), Err(CallbackError::TaskTimedOut));
    assert_eq!(runner.wait("flow", "run").await.unwrap().output, Some(json!("first")));
}

// A retry replaces the token; the answer for the old attempt must not complete the new one.
#[tokio::test(start_paused = true)]
async fn a_retry_replaces_the_token() {
    let states = json!({
        "A": with(waiting_task(), json!({
            "TimeoutSeconds": 10,
            "Retry": [{ "ErrorEquals": ["States.Timeout"], "IntervalSeconds": 5 }],
        })),
    });
    let bench = started(states).await;
    let old = bench.functions.token(0);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(bench.runner.send_task_success(&old, json!("late")), Err(CallbackError::TaskTimedOut));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let new = bench.functions.token(1);
    assert_ne!(old, new);
    assert_eq!(bench.runner.send_task_success(&old, json!("late")), Err(CallbackError::TaskTimedOut));
    assert_eq!(bench.runner.send_task_success(&new, json!("in time")), Ok(()));
    assert_eq!(bench.runner.wait("flow", "run").await.unwrap().output, Some(json!("in time")));
}

// A function that fails ends the wait: nobody will answer.
#[tokio::test(start_paused = true)]
async fn a_function_that_fails_fails_the_task() {
    let failing = json!({
        "FunctionName": "fail",
        "Payload": { "error": "Refused", "token": "{% $states.context.Task.Token %}" },
    });
    let bench = Bench::of(json!({ "A": with(waiting_task(), json!({ "Arguments": failing })) }));
    let execution = bench.run(json!({})).await;
    assert_eq!((execution.status, execution.error.as_deref()), (Failed, Some("Refused")));
}

/// Answers its own token before it ends, as a function does that finds the job finished.
struct AtOnce(Mutex<Option<Runner>>);

#[async_trait]
impl TaskInvoker for AtOnce {
    async fn invoke(&self, invocation: Invocation) -> Result<Value, TaskError> {
        let runner = self.0.lock().unwrap().clone().unwrap();
        let token = invocation.payload["token"].as_str().unwrap().to_owned();
        runner.send_task_success(&token, json!("at once")).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(json!("ignored"))
    }
}

// Entering a step whose job is finished completes at once: the answer can come before the function has ended, which
// is let end.
#[tokio::test(start_paused = true)]
async fn an_answer_may_come_before_the_function_ends() {
    let invoker = Arc::new(AtOnce(Mutex::default()));
    let runner = Runner::new(invoker.clone(), RunnerOptions::default());
    *invoker.0.lock().unwrap() = Some(runner.clone());
    runner.add(machine("flow", &json!({ "A": waiting_task() })));
    let begin = tokio::time::Instant::now();
    runner.start_execution("flow", "run", json!({})).await.unwrap();
    assert_eq!(runner.wait("flow", "run").await.unwrap().output, Some(json!("at once")));
    assert_eq!(begin.elapsed(), Duration::from_secs(3));
}

// The token completes a task: it must not be read anywhere.
#[tokio::test(start_paused = true)]
async fn the_token_is_in_no_history() {
    let echo = json!({
        "Begin": with(waiting_task(), json!({ "Next": "After" })),
        "After": task("echo", json!("{% $states.input %}")),
    });
    let mut echo = echo;
    echo["Begin"].as_object_mut().unwrap().remove("End");
    let bench = started(echo).await;
    let token = bench.functions.token(0);
    bench
        .runner
        .send_task_success(&token, json!({ "echoed": token, "list": [format!("a {token} b")] }))
        .unwrap();
    bench.runner.wait("flow", "run").await.unwrap();
    let history = serde_json::to_string(&bench.history()).unwrap();
    assert!(!history.contains(&token));
    assert!(history.contains(rekindle_flow::REDACTED));
    assert!(!format!("{:?}", bench.functions.calls.lock().unwrap()).contains(&token));
}

// What is over takes no answer: a stopped execution, a killed runner.
#[tokio::test(start_paused = true)]
async fn the_tokens_of_the_dead_are_dead() {
    let stopped = started(json!({ "A": waiting_task() })).await;
    let token = stopped.functions.token(0);
    stopped.runner.stop_execution("flow", "run", "Stop", "told so").await.unwrap();
    settle().await;
    assert_eq!(stopped.runner.send_task_success(&token, json!(1)), Err(CallbackError::TaskTimedOut));
    let killed = started(json!({ "A": waiting_task() })).await;
    let token = killed.functions.token(0);
    killed.runner.kill();
    settle().await;
    assert_eq!(killed.runner.send_task_success(&token, json!(1)), Err(CallbackError::TaskTimedOut));
}
