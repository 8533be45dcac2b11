//! Map, inline and distributed.

use std::time::Duration;

use rekindle_flow::ExecutionStatus::{Aborted, Failed, Running, Succeeded};
use serde_json::{Value, json};

use crate::bench::{Bench, settle, task, with};

fn map(states: Value, more: Value) -> Value {
    let start = states.as_object().unwrap().keys().next().unwrap().clone();
    let map = json!({
        "Type": "Map",
        "Items": "{% $states.input %}",
        "ItemProcessor": { "StartAt": start, "States": states },
        "End": true,
    });
    json!({ "Map": with(map, more) })
}

fn distributed(states: Value, more: Value) -> Value {
    let mut flow = map(states, more);
    flow["Map"]["ItemProcessor"]["ProcessorConfig"] =
        json!({ "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" });
    flow
}

/// A Task that takes the seconds of its item, or fails when the item is a string, with it as the error.
fn work() -> Value {
    json!({
        "Kind": {
            "Type": "Choice",
            "Choices": [{ "Condition": "{% $type($states.input) = 'string' %}", "Next": "Fail" }],
            "Default": "Work",
        },
        "Fail": { "Type": "Fail", "Error": "{% $states.input %}" },
        "Work": with(task("slow", json!({ "seconds": "{% $states.input %}" })), json!({
            "Output": "{% $states.result.Payload.seconds %}",
        })),
    })
}

// Specification, "Map State": outputs in the order of the items, whichever ends first.
#[tokio::test(start_paused = true)]
async fn outputs_are_in_the_order_of_the_items() {
    for flow in [map(work(), json!({})), distributed(work(), json!({}))] {
        let bench = Bench::of(flow);
        assert_eq!(bench.run(json!([30, 10, 20])).await.output, Some(json!([30, 10, 20])));
        assert_eq!((bench.seconds(), bench.functions.most_at_once()), (30.0, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn no_items_give_no_outputs() {
    for flow in [map(work(), json!({})), distributed(work(), json!({}))] {
        assert_eq!(Bench::of(flow).run(json!([])).await.output, Some(json!([])));
    }
}

// Specification, "Map State", MaxConcurrency; AWS, "Map state in Inline mode": at most 40 at once.
#[tokio::test(start_paused = true)]
async fn only_so_many_run_at_once() {
    let items = json!(vec![10; 100]);
    let cases = [
        (map(work(), json!({ "MaxConcurrency": 1 })), 1, 1000.0),
        (map(work(), json!({ "MaxConcurrency": 25 })), 25, 40.0),
        (map(work(), json!({ "MaxConcurrency": "{% 20 + 5 %}" })), 25, 40.0),
        (map(work(), json!({})), 40, 30.0),
        (map(work(), json!({ "MaxConcurrency": 0 })), 40, 30.0),
        (map(work(), json!({ "MaxConcurrency": 1000 })), 40, 30.0),
        (distributed(work(), json!({})), 100, 10.0),
        (distributed(work(), json!({ "MaxConcurrency": 50 })), 50, 20.0),
    ];
    for (flow, most, seconds) in cases {
        let bench = Bench::of(flow);
        assert_eq!(bench.run(items.clone()).await.status, Succeeded);
        assert_eq!((bench.functions.most_at_once(), bench.seconds()), (most, seconds));
    }
}

// Specification, "Map State", ItemSelector; AWS, Context object, Map.Item.
#[tokio::test(start_paused = true)]
async fn the_selector_shapes_each_item() {
    let selector = json!({
        "index": "{% $states.context.Map.Item.Index %}",
        "item": "{% $states.context.Map.Item.Value %}",
        "of": "{% $count($states.input) %}",
        "fixed": true,
    });
    let pass = json!({ "P": { "Type": "Pass", "End": true } });
    let expected = json!([
        { "index": 0, "item": "a", "of": 2, "fixed": true },
        { "index": 1, "item": "b", "of": 2, "fixed": true },
    ]);
    for flow in [
        map(pass.clone(), json!({ "ItemSelector": selector })),
        distributed(pass, json!({ "ItemSelector": selector })),
    ] {
        assert_eq!(Bench::of(flow).run(json!(["a", "b"])).await.output, Some(expected.clone()));
    }
}

// AWS, Context object: inside an inline iteration Map.Item is there, in the innermost Map that of the innermost.
#[tokio::test(start_paused = true)]
async fn iterations_know_their_item() {
    let inner = map(
        json!({ "P": { "Type": "Pass", "Output": "{% $states.context.Map.Item %}", "End": true } }),
        json!({}),
    );
    let flow = map(json!({ "Inner": inner["Map"] }), json!({}));
    let output = Bench::of(flow).run(json!([["a"], ["b", "c"]])).await.output;
    let item = |index: usize, value: &str| json!({ "Index": index, "Value": value });
    assert_eq!(output, Some(json!([[item(0, "a")], [item(0, "b"), item(1, "c")]])));
}

// Specification, "Map State", Items: it must be an array. JSONata unwraps a single item: that must not pass silently.
#[tokio::test(start_paused = true)]
async fn items_must_be_an_array() {
    let pass = json!({ "P": { "Type": "Pass", "End": true } });
    for (items, output) in [
        ("{% $states.input[$ > 2] %}", None),
        ("{% [$states.input[$ > 2]] %}", Some(json!([3]))),
        ("{% $states.input[$ > 1] %}", Some(json!([2, 3]))),
        ("{% 'text' %}", None),
        ("{% {'a': 1} %}", None),
    ] {
        let execution = Bench::of(map(pass.clone(), json!({ "Items": items }))).run(json!([1, 2, 3])).await;
        assert_eq!(execution.output, output, "{items}");
        if output.is_none() {
            assert_eq!(execution.error.as_deref(), Some("States.QueryEvaluationError"), "{items}");
        }
    }
    let written = map(pass, json!({ "Items": [1, "{% $states.input %}"] }));
    assert_eq!(Bench::of(written).run(json!(2)).await.output, Some(json!([1, 2])));
}

// AWS, "Passing data between states with variables", scope: iterations read the outer variables, and what they assign
// ends with them.
#[tokio::test(start_paused = true)]
async fn iterations_have_a_scope_of_their_own() {
    let inner = json!({
        "Set": { "Type": "Pass", "Assign": { "mine": "{% $outer & $states.input %}" }, "Next": "Give" },
        "Give": { "Type": "Pass", "Output": "{% $mine %}", "End": true },
    });
    let states = json!({
        "Begin": { "Type": "Pass", "Assign": { "outer": "o" }, "Next": "Map" },
        "Map": map(inner, json!({ "Assign": { "all": "{% $join($states.result) %}" }, "Output": "{% $outer %}" }))["Map"],
        "After": { "Type": "Pass", "Output": ["{% $states.input %}", "{% $all %}"], "End": true },
    });
    let mut states = states;
    states["Map"].as_object_mut().unwrap().remove("End");
    states["Map"]["Next"] = json!("After");
    assert_eq!(Bench::of(states).run(json!(["a", "b"])).await.output, Some(json!(["o", "oaob"])));
}

// Specification, "Map State", concurrency and failure: the first iteration that fails fails the Map with its error,
// and the others are stopped.
#[tokio::test(start_paused = true)]
async fn an_iteration_that_fails_fails_an_inline_map() {
    let bench = Bench::of(map(work(), json!({ "MaxConcurrency": 2 })));
    let execution = bench.run(json!([100, 5, "Broken", 5])).await;
    assert_eq!((execution.status, execution.error.as_deref()), (Failed, Some("Broken")));
    assert_eq!((bench.seconds(), bench.functions.dropped(), bench.functions.call_count()), (5.0, 1, 2));
    let names = bench.event_names();
    let tail = [
        "FailStateEntered",
        "MapIterationFailed",
        "MapIterationAborted",
        "MapStateFailed",
        "ExecutionFailed",
    ];
    assert_eq!(names[names.len() - 5..], tail);
}

// Specification, "Map State": it can retry and catch as a Task does.
#[tokio::test(start_paused = true)]
async fn a_map_can_be_retried_and_caught() {
    let script = with(
        task("script", json!({ "errors": ["Busy"], "then": "{% $states.input %}" })),
        json!({ "Output": "{% $states.result.Payload %}" }),
    );
    let retried =
        map(json!({ "S": script }), json!({ "Retry": [{ "ErrorEquals": ["Busy"], "MaxAttempts": 5 }] }));
    let execution = Bench::of(retried).run(json!([1, 2])).await;
    assert_eq!(execution.output, Some(json!([1, 2])));
    let mut caught = map(work(), json!({ "Catch": [{ "ErrorEquals": ["Broken"], "Next": "B" }] }));
    caught["B"] = json!({ "Type": "Pass", "Output": "{% $states.input.Error %}", "End": true });
    assert_eq!(Bench::of(caught).run(json!(["Broken"])).await.output, Some(json!("Broken")));
}

// A selector without a value fails the Map, not an iteration.
#[tokio::test(start_paused = true)]
async fn a_selector_without_a_value_fails_the_map() {
    let flow = map(work(), json!({ "ItemSelector": "{% $states.context.Map.Item.Value.missing %}" }));
    let bench = Bench::of(flow);
    let execution = bench.run(json!([1])).await;
    assert_eq!(execution.error.as_deref(), Some("States.QueryEvaluationError"));
    assert!(!bench.event_names().contains(&"MapIterationStarted"));
}

// AWS, "Setting failure thresholds for Distributed Map states".
#[tokio::test(start_paused = true)]
async fn a_distributed_map_tolerates_failures() {
    let items = json!([1, "Broken", 2, "Broken"]);
    let cases = [
        (json!({}), None),
        (json!({ "ToleratedFailureCount": 1 }), None),
        (json!({ "ToleratedFailureCount": 2 }), Some(json!([1, 2]))),
        (json!({ "ToleratedFailurePercentage": 49 }), None),
        (json!({ "ToleratedFailurePercentage": 50 }), Some(json!([1, 2]))),
        (json!({ "ToleratedFailureCount": "{% 1 + 1 %}" }), Some(json!([1, 2]))),
        (json!({ "ToleratedFailureCount": 2, "ToleratedFailurePercentage": 10 }), None),
    ];
    for (tolerance, output) in cases {
        let bench = Bench::of(distributed(work(), tolerance.clone()));
        let execution = bench.run(items.clone()).await;
        assert_eq!(execution.output, output, "{tolerance}");
        if output.is_none() {
            assert_eq!(
                execution.error.as_deref(),
                Some("States.ExceedToleratedFailureThreshold"),
                "{tolerance}"
            );
        }
    }
}

// AWS, "Distributed mode": every child is an execution of its own, with its own history.
#[tokio::test(start_paused = true)]
async fn children_are_executions() {
    let pass = json!({ "P": { "Type": "Pass", "Output": "{% $states.context %}", "End": true } });
    let bench = Bench::of(distributed(pass, json!({})));
    let output = bench.run(json!(["a", "b"])).await.output.unwrap();
    let children: Vec<_> =
        bench.runner.executions().into_iter().filter(|it| it.state_machine == "flow/Map").collect();
    assert_eq!(children.len(), 2);
    for child in &children {
        assert_eq!((child.status, child.name.len()), (Succeeded, 36));
        let events = bench.runner.history("flow/Map", &child.name);
        let names: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
        assert_eq!(names, ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]);
        let context = child.output.as_ref().unwrap();
        assert_eq!(context["Execution"]["Name"], json!(child.name));
        assert_eq!(context["Execution"]["Input"], child.input);
        assert!(context.get("Map").is_none());
        assert!(output.as_array().unwrap().contains(context));
    }
    let names = bench.event_names();
    let expected = [
        "ExecutionStarted",
        "MapStateEntered",
        "MapStateStarted",
        "MapRunStarted",
        "MapRunSucceeded",
        "MapStateSucceeded",
        "MapStateExited",
        "ExecutionSucceeded",
    ];
    assert_eq!(names, expected);
}

// Too many failures, or a stop, end the children that still run; nothing of them goes on.
#[tokio::test(start_paused = true)]
async fn children_do_not_outlive_their_map() {
    let exceeded = Bench::of(distributed(work(), json!({})));
    exceeded.run(json!([100, "Broken"])).await;
    let stopped = Bench::of(distributed(work(), json!({})));
    stopped.start(json!([100, 100])).await;
    settle().await;
    stopped.runner.stop_execution("flow", "run", "Stop", "").await.unwrap();
    settle().await;
    for (bench, aborted) in [(exceeded, 1), (stopped, 2)] {
        let children: Vec<_> =
            bench.runner.executions().into_iter().filter(|it| it.state_machine == "flow/Map").collect();
        assert_eq!(children.iter().filter(|child| child.status == Aborted).count(), aborted);
        assert!(children.iter().all(|child| child.status != Running));
        assert_eq!(bench.functions.dropped(), aborted);
    }
}

// A child that somebody stops counts as one that failed.
#[tokio::test(start_paused = true)]
async fn a_stopped_child_is_a_failed_child() {
    let bench = Bench::of(distributed(work(), json!({ "ToleratedFailureCount": 1 })));
    bench.start(json!([100, 50])).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let child = bench.runner.executions().into_iter().find(|it| it.input == json!(100)).unwrap();
    bench.runner.stop_execution("flow/Map", &child.name, "Stop", "").await.unwrap();
    let execution = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!((execution.output, bench.seconds()), (Some(json!([50])), 50.0));
}
