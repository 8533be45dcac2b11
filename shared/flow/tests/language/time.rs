//! TimeoutSeconds and HeartbeatSeconds.

use std::time::Duration;

use rekindle_flow::ExecutionStatus::{Failed, Succeeded, TimedOut};
use rekindle_flow::{StateMachine, Substitutions};
use serde_json::{Value, json};

use crate::bench::{Bench, settle, task, text, waiting_task, with};

// Specification, "Task State", TimeoutSeconds.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_times_out() {
    for timeout in [json!(60), json!("{% $states.input.most %}")] {
        let bench =
            Bench::of(json!({ "A": with(task("hang", json!({})), json!({ "TimeoutSeconds": timeout })) }));
        let execution = bench.run(json!({ "most": 60 })).await;
        assert_eq!((execution.status, execution.error.as_deref()), (Failed, Some("States.Timeout")));
        assert_eq!((bench.seconds(), bench.functions.dropped()), (60.0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_within_its_time_does_not() {
    let slow = with(task("slow", json!({ "seconds": 59 })), json!({ "TimeoutSeconds": 60 }));
    let bench = Bench::of(json!({ "A": slow }));
    assert_eq!(bench.run(json!({})).await.status, Succeeded);
    assert_eq!(bench.seconds(), 59.0);
}

// AWS, "Task workflow state": without the field a task may run as long as its execution.
#[tokio::test(start_paused = true)]
async fn without_the_field_there_is_no_limit() {
    let bench = Bench::of(json!({ "A": task("slow", json!({ "seconds": 9_000_000 })) }));
    assert_eq!(bench.run(json!({})).await.status, Succeeded);
}

// Specification, "Retriers": the time-out is that of each attempt.
#[tokio::test(start_paused = true)]
async fn every_attempt_has_its_own_time() {
    let hang = with(
        task("hang", json!({})),
        json!({
            "TimeoutSeconds": 60,
            "Retry": [{ "ErrorEquals": ["States.Timeout"], "IntervalSeconds": 5, "BackoffRate": 1, "MaxAttempts": 2 }],
        }),
    );
    let bench = Bench::of(json!({ "A": hang }));
    bench.run(json!({})).await;
    assert_eq!((bench.functions.call_count(), bench.functions.dropped()), (3, 3));
    assert_eq!(bench.seconds(), 60.0 * 3.0 + 5.0 * 2.0);
}

// AWS, "Handling errors": States.TaskFailed stands for every error but a time-out.
#[tokio::test(start_paused = true)]
async fn a_time_out_is_caught_by_its_own_name() {
    let caught = async |name: &str| {
        let states = json!({
            "A": with(task("hang", json!({})), json!({
                "TimeoutSeconds": 1,
                "Catch": [{ "ErrorEquals": [name], "Output": "{% $states.errorOutput %}", "Next": "B" }],
            })),
            "B": { "Type": "Pass", "End": true },
        });
        Bench::of(states).run(json!({})).await.output
    };
    let expected = json!({ "Error": "States.Timeout", "Cause": "" });
    assert_eq!(caught("States.Timeout").await, Some(expected.clone()));
    assert_eq!(caught("States.ALL").await, Some(expected));
    assert_eq!(caught("States.TaskFailed").await, None);
    assert_eq!(caught("States.HeartbeatTimeout").await, None);
}

// AWS, "Start executions": a machine's own TimeoutSeconds ends the execution as TIMED_OUT, whatever it catches.
#[tokio::test(start_paused = true)]
async fn an_execution_times_out_as_a_whole() {
    let states = json!({
        "A": with(task("hang", json!({})), json!({ "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "B" }] })),
        "B": { "Type": "Succeed" },
    });
    let mut definition: Value = serde_json::from_str(&text(&states)).unwrap();
    definition["TimeoutSeconds"] = json!(300);
    let machine =
        StateMachine::parse("flow.asl.json", &definition.to_string(), &Substitutions::default()).unwrap();
    assert_eq!(machine.timeout_seconds(), Some(300));
    let bench = Bench::new();
    bench.runner.add(machine);
    let execution = bench.run(json!({})).await;
    assert_eq!((execution.status, execution.output), (TimedOut, None));
    assert_eq!((bench.seconds(), bench.functions.dropped()), (300.0, 1));
    assert_eq!(bench.event_names().last(), Some(&"ExecutionTimedOut"));
}

fn beating(heartbeat: u64, more: Value) -> Value {
    with(with(waiting_task(), json!({ "HeartbeatSeconds": heartbeat })), more)
}

// Specification, "Task State", HeartbeatSeconds; AWS, "Handling errors", States.HeartbeatTimeout.
#[tokio::test(start_paused = true)]
async fn silence_times_out() {
    let bench = Bench::of(json!({ "A": beating(30, json!({ "TimeoutSeconds": 600 })) }));
    let execution = bench.run(json!({})).await;
    assert_eq!((execution.status, execution.error.as_deref()), (Failed, Some("States.HeartbeatTimeout")));
    assert_eq!(bench.seconds(), 30.0);
}

// AWS, SendTaskHeartbeat: resets the clock of the heartbeat, and never that of TimeoutSeconds.
#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_task_alive_until_its_time_out() {
    let bench = Bench::of(json!({ "A": beating(30, json!({ "TimeoutSeconds": 100 })) }));
    bench.start(json!({})).await;
    settle().await;
    let token = bench.functions.token(0);
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        bench.runner.send_task_heartbeat(&token).unwrap();
    }
    let execution = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!(execution.error.as_deref(), Some("States.Timeout"));
    assert_eq!(bench.seconds(), 100.0);
}

#[tokio::test(start_paused = true)]
async fn silence_after_a_heartbeat_times_out() {
    let bench = Bench::of(json!({ "A": beating(30, json!({})) }));
    bench.start(json!({})).await;
    settle().await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    bench.runner.send_task_heartbeat(&bench.functions.token(0)).unwrap();
    let execution = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!(execution.error.as_deref(), Some("States.HeartbeatTimeout"));
    assert_eq!(bench.seconds(), 59.0);
}

// AWS, "Handling errors": States.HeartbeatTimeout can be named in Retry and Catch; a missed heartbeat is a time-out.
#[tokio::test(start_paused = true)]
async fn a_missed_heartbeat_is_caught_by_its_name_and_as_a_time_out() {
    let caught = async |name: &str| {
        let states = json!({
            "A": beating(5, json!({ "Catch": [{ "ErrorEquals": [name], "Output": name, "Next": "B" }] })),
            "B": { "Type": "Pass", "End": true },
        });
        Bench::of(states).run(json!({})).await.status
    };
    assert_eq!(caught("States.HeartbeatTimeout").await, Succeeded);
    assert_eq!(caught("States.Timeout").await, Succeeded);
    assert_eq!(caught("States.ALL").await, Succeeded);
    assert_eq!(caught("States.TaskFailed").await, Failed);
}
