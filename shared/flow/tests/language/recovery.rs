//! Retry and Catch.

use rekindle_flow::ExecutionStatus::{Failed, Succeeded};
use serde_json::{Value, json};

use crate::bench::{Bench, task, with};

fn scripted(errors: Value, more: Value) -> Value {
    json!({ "A": with(task("script", json!({ "errors": errors, "then": "done" })), more) })
}

// Specification, "Retriers": the arithmetic of waits, seen from outside.
#[tokio::test(start_paused = true)]
async fn retries_wait_as_told() {
    let cases = [
        // The defaults: 1 second, doubled, three times.
        (json!({}), json!(["E", "E", "E"]), 7.0, Succeeded),
        (json!({}), json!(["E", "E", "E", "E"]), 7.0, Failed),
        (
            json!({ "IntervalSeconds": 3, "BackoffRate": 1.5, "MaxAttempts": 2 }),
            json!(["E", "E"]),
            7.5,
            Succeeded,
        ),
        (json!({ "MaxAttempts": 0 }), json!(["E"]), 0.0, Failed),
        (json!({ "IntervalSeconds": 10, "BackoffRate": 1 }), json!(["E", "E", "E"]), 30.0, Succeeded),
        (
            json!({ "IntervalSeconds": 2, "BackoffRate": 4, "MaxDelaySeconds": 5, "MaxAttempts": 4 }),
            json!(["E", "E", "E", "E"]),
            17.0,
            Succeeded,
        ),
        (json!({ "JitterStrategy": "NONE" }), json!(["E"]), 1.0, Succeeded),
    ];
    for (retrier, errors, seconds, status) in cases {
        let retrier = with(json!({ "ErrorEquals": ["E"] }), retrier);
        let bench = Bench::of(scripted(errors, json!({ "Retry": [retrier.clone()] })));
        let execution = bench.run(json!({})).await;
        assert_eq!((execution.status, bench.seconds()), (status, seconds), "{retrier}");
    }
}

// AWS, "Handling errors", JitterStrategy: FULL waits somewhere between 0 and the computed delay.
#[tokio::test(start_paused = true)]
async fn full_jitter_waits_less() {
    let retrier =
        json!({ "ErrorEquals": ["E"], "IntervalSeconds": 1000, "BackoffRate": 1, "JitterStrategy": "FULL" });
    let bench = Bench::of(scripted(json!(["E", "E", "E"]), json!({ "Retry": [retrier] })));
    bench.run(json!({})).await;
    assert!(bench.seconds() > 0.0 && bench.seconds() < 3000.0, "{}", bench.seconds());
    assert_ne!(bench.seconds() % 1.0, 0.0);
}

// Specification, "Complex Retry Scenarios": each retrier counts for itself, over all attempts of the visit.
#[tokio::test(start_paused = true)]
async fn retriers_count_apart() {
    let retry = json!([
        { "ErrorEquals": ["A", "B"], "IntervalSeconds": 1, "BackoffRate": 2.0, "MaxAttempts": 2 },
        { "ErrorEquals": ["C"], "IntervalSeconds": 5 },
    ]);
    let cases = [
        (json!(["A", "C", "B"]), 1.0 + 5.0 + 2.0, Succeeded),
        (json!(["A", "C", "B", "A"]), 1.0 + 5.0 + 2.0, Failed),
        (json!(["D"]), 0.0, Failed),
    ];
    for (errors, seconds, status) in cases {
        let bench = Bench::of(scripted(errors.clone(), json!({ "Retry": retry })));
        let execution = bench.run(json!({})).await;
        assert_eq!((execution.status, bench.seconds()), (status, seconds), "{errors}");
    }
}

// A second visit to the state counts from the beginning.
#[tokio::test(start_paused = true)]
async fn a_new_visit_has_new_retries() {
    let script = json!({ "errors": ["E", "E", "E", "E"], "then": "done" });
    let states = json!({
        "A": with(task("script", script), json!({
            "Retry": [{ "ErrorEquals": ["E"], "MaxAttempts": 1 }],
            "Catch": [{ "ErrorEquals": ["E"], "Next": "Again" }],
        })),
        "Again": { "Type": "Wait", "Seconds": 100, "Next": "A" },
    });
    let bench = Bench::of(states);
    let execution = bench.run(json!({})).await;
    assert_eq!(execution.status, Succeeded);
    assert_eq!((bench.functions.call_count(), bench.seconds()), (5, 202.0));
}

fn caught(error: &str, catch: Value) -> Value {
    json!({
        "A": with(task("fail", json!({ "error": error })), json!({ "Catch": catch })),
        "First": { "Type": "Pass", "Output": "first", "End": true },
        "Second": { "Type": "Pass", "Output": "second", "End": true },
    })
}

// Specification, "Catchers": the first catcher that names the error, by its name or a wildcard.
#[tokio::test(start_paused = true)]
async fn the_first_catcher_that_names_the_error_takes_it() {
    let two = |first: &str, second: &str| json!([{ "ErrorEquals": [first], "Next": "First" }, { "ErrorEquals": [second], "Next": "Second" }]);
    let cases = [
        ("X", two("X", "States.ALL"), Some("first")),
        ("Y", two("X", "States.ALL"), Some("second")),
        ("Y", two("X", "Z"), None),
        ("Y", two("States.TaskFailed", "States.ALL"), Some("first")),
        ("States.Timeout", two("States.TaskFailed", "States.ALL"), Some("second")),
        ("States.Runtime", two("States.TaskFailed", "States.ALL"), None),
        ("x", two("X", "Z"), None),
    ];
    for (error, catch, expected) in cases {
        let execution = Bench::of(caught(error, catch)).run(json!({})).await;
        assert_eq!(execution.output, expected.map(Value::from), "{error}");
        if expected.is_none() {
            assert_eq!((execution.status, execution.error.as_deref()), (Failed, Some(error)));
        }
    }
}

// AWS, "Handling errors": States.ALL does not catch States.DataLimitExceeded; its own name does.
#[tokio::test(start_paused = true)]
async fn the_wildcard_does_not_catch_the_data_limit() {
    let flow = |name: &str| {
        json!({
            "A": with(task("large", json!({})), json!({ "Catch": [{ "ErrorEquals": [name], "Next": "First" }] })),
            "First": { "Type": "Pass", "Output": "first", "End": true },
        })
    };
    assert_eq!(Bench::of(flow("States.ALL")).run(json!({})).await.status, Failed);
    assert_eq!(Bench::of(flow("States.DataLimitExceeded")).run(json!({})).await.output, Some(json!("first")));
}

// Specification, "Catchers" with JSONata: Assign and Output see $states.errorOutput; without Output, it is the output.
#[tokio::test(start_paused = true)]
async fn a_catcher_sees_the_error() {
    let with_output = json!([{
        "ErrorEquals": ["X"],
        "Assign": { "why": "{% $states.errorOutput.Error & ': ' & $states.errorOutput.Cause %}" },
        "Output": { "input": "{% $states.input %}" },
        "Next": "Tell",
    }]);
    let plain = json!([{ "ErrorEquals": ["X"], "Next": "Show" }]);
    let flow = |catch: Value| {
        json!({
            "A": with(task("fail", json!({ "error": "X" })), json!({ "Catch": catch })),
            "Tell": { "Type": "Pass", "Output": ["{% $why %}", "{% $states.input %}"], "End": true },
            "Show": { "Type": "Pass", "End": true },
        })
    };
    let run = async |catch: Value, keep: &str, drop: &str| {
        let mut states = flow(catch);
        states.as_object_mut().unwrap().remove(drop);
        assert!(states.get(keep).is_some());
        Bench::of(states).run(json!({ "a": 1 })).await.output.unwrap()
    };
    assert_eq!(run(with_output, "Tell", "Show").await, json!(["X: as told", { "input": { "a": 1 } }]));
    assert_eq!(run(plain, "Show", "Tell").await, json!({ "Error": "X", "Cause": "as told" }));
}

// Specification, "Catchers": first all retries, then the catchers.
#[tokio::test(start_paused = true)]
async fn retries_come_before_catchers() {
    let states = json!({
        "A": with(task("fail", json!({ "error": "X" })), json!({
            "Retry": [{ "ErrorEquals": ["X"], "MaxAttempts": 2 }],
            "Catch": [{ "ErrorEquals": ["X"], "Output": "{% $states.context.State.RetryCount %}", "Next": "B" }],
        })),
        "B": { "Type": "Pass", "End": true },
    });
    let bench = Bench::of(states);
    assert_eq!(bench.run(json!({})).await.output, Some(json!(2)));
    assert_eq!(bench.functions.call_count(), 3);
}

// AWS, "Transforming data with JSONata", error handling: a QueryEvaluationError of a Task can be retried and caught,
// in Arguments before the call and in Assign and Output after it.
#[tokio::test(start_paused = true)]
async fn evaluation_errors_of_a_task_are_caught() {
    let fields = [
        (json!({ "Arguments": { "FunctionName": "echo", "Payload": "{% $states.input.missing %}" } }), 0),
        (json!({ "Output": "{% $states.result.missing %}" }), 1),
        (json!({ "Assign": { "x": "{% $states.result.missing %}" } }), 1),
        (json!({ "TimeoutSeconds": "{% $states.input.missing %}" }), 0),
        (json!({ "TimeoutSeconds": "{% 0 %}" }), 0),
    ];
    for (field, calls) in fields {
        for name in ["States.QueryEvaluationError", "States.ALL"] {
            let catch =
                json!([{ "ErrorEquals": [name], "Output": "{% $states.errorOutput.Error %}", "Next": "B" }]);
            let bench = Bench::of(json!({
                "A": with(with(task("echo", json!({})), field.clone()), json!({ "Catch": catch })),
                "B": { "Type": "Pass", "End": true },
            }));
            let execution = bench.run(json!({})).await;
            assert_eq!(execution.output, Some(json!("States.QueryEvaluationError")), "{field}");
            assert_eq!(bench.functions.call_count(), calls, "{field}");
        }
    }
}

// A variable that failed to be assigned was not assigned, and neither were its neighbours.
#[tokio::test(start_paused = true)]
async fn a_failed_assign_assigns_nothing() {
    let states = json!({
        "Begin": { "Type": "Pass", "Assign": { "x": "before" }, "Next": "A" },
        "A": with(task("echo", json!({})), json!({
            "Assign": { "x": "after", "y": "{% $states.result.missing %}" },
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "B" }],
        })),
        "B": { "Type": "Pass", "Output": "{% $x %}", "End": true },
    });
    assert_eq!(Bench::of(states).run(json!({})).await.output, Some(json!("before")));
}

// An error inside a catcher is no longer caught by it.
#[tokio::test(start_paused = true)]
async fn an_error_in_a_catcher_fails_the_execution() {
    let states = json!({
        "A": with(task("fail", json!({ "error": "X" })), json!({
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput.Error.missing %}", "Next": "B" }],
        })),
        "B": { "Type": "Succeed" },
    });
    // The path below Error is refused already when loading; a computed one fails when it runs.
    assert!(crate::bench::parse("flow", &states).is_err());
    let mut states = states;
    states["A"]["Catch"][0]["Output"] = json!("{% $number($states.errorOutput.Cause) %}");
    let execution = Bench::of(states).run(json!({})).await;
    assert_eq!(execution.error.as_deref(), Some("States.QueryEvaluationError"));
}

// A catcher may lead back to its own state (specification, "Transitions").
#[tokio::test(start_paused = true)]
async fn a_catcher_may_lead_back() {
    let bench = Bench::of(scripted(
        json!(["E", "E"]),
        json!({ "Catch": [{ "ErrorEquals": ["E"], "Output": "{% $states.input %}", "Next": "A" }] }),
    ));
    assert_eq!(bench.run(json!({ "a": 1 })).await.status, Succeeded);
    assert_eq!(bench.functions.call_count(), 3);
}
