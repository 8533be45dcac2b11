//! The history, in the shape of GetExecutionHistory. Orders and previousEventId are those that AWS records.

use std::sync::{Arc, Mutex};

use rekindle_flow::{EventType, HistoryEvent, HistoryObserver, Runner, RunnerOptions};
use serde_json::{Value, json};

use crate::bench::{Bench, EPOCH, Functions, machine, settle, task, waiting_task, with};

fn shape(history: &[HistoryEvent]) -> Vec<(u64, u64, &'static str)> {
    history.iter().map(|event| (event.id, event.previous_event_id, event.event_type.as_str())).collect()
}

// AWS, GetExecutionHistory: the first state follows from 0, as the start itself.
#[tokio::test(start_paused = true)]
async fn a_task_leaves_its_events() {
    let echo = with(
        task("echo", json!({ "n": 1 })),
        json!({ "TimeoutSeconds": 60, "Assign": { "x": [1] }, "Output": 2 }),
    );
    let bench = Bench::of(json!({ "A": echo }));
    bench.run(json!({ "in": 1 })).await;
    let expected = json!([
        {
            "timestamp": "2026-11-22T12:00:00.000Z", "type": "ExecutionStarted", "id": 1, "previousEventId": 0,
            "executionStartedEventDetails": { "input": "{\"in\":1}", "inputDetails": { "truncated": false } },
        },
        {
            "timestamp": "2026-11-22T12:00:00.000Z", "type": "TaskStateEntered", "id": 2, "previousEventId": 0,
            "stateEnteredEventDetails": { "name": "A", "input": "{\"in\":1}", "inputDetails": { "truncated": false } },
        },
        {
            "timestamp": "2026-11-22T12:00:00.000Z", "type": "TaskScheduled", "id": 3, "previousEventId": 2,
            "taskScheduledEventDetails": {
                "resourceType": "lambda", "resource": "invoke", "region": "local", "timeoutInSeconds": 60,
                "parameters": "{\"FunctionName\":\"echo\",\"Payload\":{\"n\":1}}",
            },
        },
        {
            "timestamp": "2026-11-22T12:00:00.000Z", "type": "TaskStarted", "id": 4, "previousEventId": 3,
            "taskStartedEventDetails": { "resourceType": "lambda", "resource": "invoke" },
        },
        {
            "timestamp": "2026-11-22T12:00:00.000Z", "type": "TaskSucceeded", "id": 5, "previousEventId": 4,
            "taskSucceededEventDetails": {
                "resourceType": "lambda", "resource": "invoke", "outputDetails": { "truncated": false },
                "output": "{\"ExecutedVersion\":\"$LATEST\",\"Payload\":{\"n\":1},\"StatusCode\":200}",
            },
        },
        {
            "timestamp": "2026-11-22T12:00:00.000Z", "type": "TaskStateExited", "id": 6, "previousEventId": 5,
            "stateExitedEventDetails": {
                "name": "A", "output": "2", "outputDetails": { "truncated": false },
                "assignedVariables": { "x": "[1]" }, "assignedVariablesDetails": { "truncated": false },
            },
        },
        {
            "timestamp": "2026-11-22T12:00:00.000Z", "type": "ExecutionSucceeded", "id": 7, "previousEventId": 6,
            "executionSucceededEventDetails": { "output": "2", "outputDetails": { "truncated": false } },
        },
    ]);
    assert_eq!(serde_json::to_value(bench.history()).unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_history_is_read_back_as_it_was_written() {
    let bench = Bench::of(json!({ "A": waiting_task() }));
    bench.start(json!({})).await;
    settle().await;
    bench.runner.send_task_failure(&bench.functions.token(0), "E", "because").unwrap();
    bench.runner.wait("flow", "run").await.unwrap();
    let written = serde_json::to_string(&bench.history()).unwrap();
    let read: Vec<HistoryEvent> = serde_json::from_str(&written).unwrap();
    assert_eq!(read, bench.history());
    let unknown =
        json!({ "timestamp": "2026-11-22T12:00:00Z", "type": "Oops", "id": 1, "previousEventId": 0 });
    assert!(serde_json::from_value::<HistoryEvent>(unknown).is_err());
}

#[tokio::test(start_paused = true)]
async fn retries_are_new_attempts_without_a_new_entry() {
    let script = with(
        task("script", json!({ "errors": ["E"], "then": 1 })),
        json!({ "Retry": [{ "ErrorEquals": ["E"] }] }),
    );
    let bench = Bench::of(json!({ "A": script }));
    bench.run(json!({})).await;
    let expected = [
        (1, 0, "ExecutionStarted"),
        (2, 0, "TaskStateEntered"),
        (3, 2, "TaskScheduled"),
        (4, 3, "TaskStarted"),
        (5, 4, "TaskFailed"),
        (6, 5, "TaskScheduled"),
        (7, 6, "TaskStarted"),
        (8, 7, "TaskSucceeded"),
        (9, 8, "TaskStateExited"),
        (10, 9, "ExecutionSucceeded"),
    ];
    let history = bench.history();
    assert_eq!(shape(&history), expected);
    assert_eq!((history[4].error(), history[4].details["cause"].as_str()), (Some("E"), Some("as scripted")));
    assert_eq!(history[5].timestamp.to_string(), "2026-11-22T12:00:01Z");
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_submitted_before_it_succeeds() {
    let bench = Bench::of(json!({ "A": with(waiting_task(), json!({ "HeartbeatSeconds": 5 })) }));
    bench.start(json!({})).await;
    settle().await;
    bench.runner.send_task_success(&bench.functions.token(0), json!(1)).unwrap();
    bench.runner.wait("flow", "run").await.unwrap();
    let names = bench.event_names();
    assert_eq!(
        names[2..7],
        ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded", "TaskStateExited"]
    );
    let scheduled = &bench.history()[2];
    assert_eq!(scheduled.details["resource"], json!("invoke.waitForTaskToken"));
    assert_eq!(scheduled.details["heartbeatInSeconds"], json!(5));
    let parameters = scheduled.json("parameters").unwrap();
    assert_eq!(parameters["Payload"]["token"], json!(rekindle_flow::REDACTED));
    assert_eq!(bench.history()[5].json("output"), Some(json!(1)));
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_as_they_were() {
    let ends: [(Value, &[&str]); 5] = [
        (json!({ "Type": "Succeed" }), &["SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"]),
        (json!({ "Type": "Fail", "Error": "E" }), &["FailStateEntered", "ExecutionFailed"]),
        (
            json!({ "Type": "Wait", "Seconds": 1, "End": true }),
            &["WaitStateEntered", "WaitStateExited", "ExecutionSucceeded"],
        ),
        (
            json!({ "Type": "Pass", "Output": "{% $states.input.x %}", "End": true }),
            &["PassStateEntered", "EvaluationFailed", "ExecutionFailed"],
        ),
        (
            with(task("hang", json!({})), json!({ "TimeoutSeconds": 1 })),
            &["TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskTimedOut", "ExecutionFailed"],
        ),
    ];
    for (state, expected) in ends {
        let bench = Bench::of(json!({ "A": state }));
        bench.run(json!({})).await;
        assert_eq!(bench.event_names()[1..], *expected);
        assert!(bench.history().last().unwrap().event_type.ends_execution());
    }
}

// Iterations follow from the Map, each along its own trail.
#[tokio::test(start_paused = true)]
async fn iterations_follow_their_own_trails() {
    let map = json!({
        "Type": "Map",
        "Items": [1, 2],
        "MaxConcurrency": 1,
        "ItemProcessor": { "StartAt": "P", "States": { "P": { "Type": "Pass", "End": true } } },
        "End": true,
    });
    let bench = Bench::of(json!({ "M": map }));
    bench.run(json!({})).await;
    let expected = [
        (1, 0, "ExecutionStarted"),
        (2, 0, "MapStateEntered"),
        (3, 2, "MapStateStarted"),
        (4, 3, "MapIterationStarted"),
        (5, 4, "PassStateEntered"),
        (6, 5, "PassStateExited"),
        (7, 6, "MapIterationSucceeded"),
        (8, 3, "MapIterationStarted"),
        (9, 8, "PassStateEntered"),
        (10, 9, "PassStateExited"),
        (11, 10, "MapIterationSucceeded"),
        (12, 11, "MapStateSucceeded"),
        (13, 12, "MapStateExited"),
        (14, 13, "ExecutionSucceeded"),
    ];
    assert_eq!(shape(&bench.history()), expected);
    assert_eq!(bench.history()[7].details["index"], json!(1));
}

// AWS, "Step Functions service quotas": 25,000 events, after which an execution fails and nothing catches it.
#[tokio::test(start_paused = true)]
async fn a_history_has_a_limit() {
    let states = json!({
        "A": { "Type": "Wait", "Seconds": 1, "Next": "B" },
        "B": { "Type": "Wait", "Seconds": 1, "Next": "A" },
    });
    let bench = Bench::of(states);
    let execution = bench.run(json!({})).await;
    assert_eq!(execution.error.as_deref(), Some("States.Runtime"));
    assert_eq!(bench.history().len(), 25_000);
}

#[derive(Default)]
struct Notes(Mutex<Vec<(String, String, u64, EventType)>>);

impl HistoryObserver for Notes {
    fn observe(&self, state_machine: &str, execution_name: &str, event: &HistoryEvent) {
        let note = (state_machine.to_owned(), execution_name.to_owned(), event.id, event.event_type);
        self.0.lock().unwrap().push(note);
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_every_event_in_order() {
    let notes = Arc::new(Notes::default());
    let options =
        RunnerOptions { jitter_seed: 1, epoch: EPOCH.parse().unwrap(), observer: Some(notes.clone()) };
    let runner = Runner::new(Arc::new(Functions::default()), options);
    runner.add(machine("flow", &json!({ "A": task("echo", json!({})) })));
    runner.start_execution("flow", "run", json!({})).await.unwrap();
    runner.wait("flow", "run").await.unwrap();
    let seen: Vec<_> = notes.0.lock().unwrap().iter().map(|(_, _, id, event)| (*id, *event)).collect();
    let history: Vec<_> =
        runner.history("flow", "run").iter().map(|event| (event.id, event.event_type)).collect();
    assert_eq!(seen, history);
    assert!(
        notes
            .0
            .lock()
            .unwrap()
            .iter()
            .all(|(machine, run, _, _)| (machine.as_str(), run.as_str()) == ("flow", "run"))
    );
}
