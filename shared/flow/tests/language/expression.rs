//! JSONata as Step Functions has it.

use rekindle_flow::ExecutionStatus::Failed;
use serde_json::{Value, json};

use crate::bench::{Bench, output_of, task, with};

async fn value_of(expression: &str) -> Value {
    let execution =
        output_of(json!(expression), json!({ "list": [3, 1, 2], "text": "abc", "nothing": null })).await;
    assert_eq!(execution.error, None, "{expression}: {:?}", execution.cause);
    execution.output.unwrap()
}

async fn cause_of(expression: &str) -> String {
    let execution = output_of(json!(expression), json!({ "text": "abc" })).await;
    assert_eq!(execution.status, Failed, "{expression}");
    assert_eq!(execution.error.as_deref(), Some("States.QueryEvaluationError"), "{expression}");
    execution.cause.unwrap()
}

// AWS, "Transforming data with JSONata": a string is an expression only from its first to its last character.
#[tokio::test(start_paused = true)]
async fn only_a_whole_string_is_an_expression() {
    let literals =
        json!([" {% 1 %}", "{% 1 %} ", "a {% 1 %}", "{%1", "1%}", "$states.input", "", "{{% 1 %}}", "%}{%"]);
    assert_eq!(output_of(literals.clone(), json!({})).await.output, Some(literals));
    assert_eq!(output_of(json!("{%1%}"), json!({})).await.output, Some(json!(1)));
    assert_eq!(output_of(json!({ "{% 1 %}": 2 }), json!({})).await.output, Some(json!({ "{% 1 %}": 2 })));
}

#[tokio::test(start_paused = true)]
async fn values_keep_their_types() {
    let cases = [
        ("{% 1 + 1 %}", json!(2)),
        ("{% 0.5 %}", json!(0.5)),
        ("{% 1e15 %}", json!(1_000_000_000_000_000_u64)),
        ("{% -7 %}", json!(-7)),
        ("{% 'a' & 1 %}", json!("a1")),
        ("{% $states.input.nothing %}", json!(null)),
        ("{% [] %}", json!([])),
        ("{% [1] %}", json!([1])),
        ("{% {} %}", json!({})),
        ("{% $states.input.list[$ > 1] %}", json!([3, 2])),
        ("{% $states.input.list[$ > 2] %}", json!(3)),
        ("{% [$states.input.list[$ > 2]] %}", json!([3])),
        ("{% {'a': $states.input.missing, 'b': 1} %}", json!({ "b": 1 })),
        ("{% $exists($states.input.missing) %}", json!(false)),
        ("{% $sum($states.input.list) %}", json!(6)),
        ("{% $sort($states.input.list) %}", json!([1, 2, 3])),
        ("{% $merge([{'a': 1}, {'b': 2}]) %}", json!({ "a": 1, "b": 2 })),
        ("{% $zip([1], [2]) %}", json!([[1, 2]])),
        ("{% $states.input.missing ? 1 : 2 %}", json!(2)),
        ("{% $reduce([1, 2, 3], function($sum, $n) { $sum + $n }) %}", json!(6)),
    ];
    for (expression, expected) in cases {
        assert_eq!(value_of(expression).await, expected, "{expression}");
    }
}

// AWS, "Transforming data with JSONata", error handling: undefined and what is not JSON are evaluation errors.
#[tokio::test(start_paused = true)]
async fn what_is_no_value_is_an_error() {
    let cases = [
        ("{% $states.input.missing %}", "returned nothing (undefined)"),
        ("{% text %}", "returned nothing (undefined)"),
        ("{% $ %}", "returned nothing (undefined)"),
        ("{% function($x) { $x } %}", "a function, which is not JSON"),
        ("{% $sum %}", "a function, which is not JSON"),
        ("{% {'f': $sum} %}", "a function, which is not JSON"),
        ("{% /a/ %}", "which is not JSON"),
        ("{% 'a' + 1 %}", "failed: "),
        ("{% $number('x') %}", "failed: "),
        ("{% $error('told so') %}", "told so"),
        ("{% $assert(false, 'not so') %}", "not so"),
        ("{% 1/0 %}", ""),
    ];
    for (expression, reason) in cases {
        let cause = cause_of(expression).await;
        assert!(cause.contains(reason), "{expression}: {cause}");
    }
}

// AWS, "Transforming data with JSONata", functions that Step Functions adds.
#[tokio::test(start_paused = true)]
async fn the_functions_of_aws_are_there() {
    let cases = [
        ("{% $partition([1, 2, 3, 4, 5], 2) %}", json!([[1, 2], [3, 4], [5]])),
        ("{% $partition([], 2) %}", json!([])),
        ("{% $range(1, 9, 2) %}", json!([1, 3, 5, 7, 9])),
        ("{% $range(10, 4, -3) %}", json!([10, 7, 4])),
        ("{% $range(5, 1, 1) %}", json!([])),
        ("{% $count($range(1, 1000, 1)) %}", json!(1000)),
        (
            "{% $hash('abc', 'SHA-256') %}",
            json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ),
        ("{% $length($hash('abc', 'SHA-384')) %}", json!(96)),
        ("{% $length($hash('abc', 'SHA-512')) %}", json!(128)),
        ("{% $parse('{\"a\": [1, null]}') %}", json!({ "a": [1, null] })),
        ("{% $parse('5') + 1 %}", json!(6)),
        ("{% $random(42) = $random(42) %}", json!(true)),
        ("{% $random(42) = $random(43) %}", json!(false)),
        ("{% $random() = $random() %}", json!(false)),
        ("{% $random() < 1 and $random() >= 0 %}", json!(true)),
        ("{% $uuid() = $uuid() %}", json!(false)),
    ];
    for (expression, expected) in cases {
        assert_eq!(value_of(expression).await, expected, "{expression}");
    }
    let uuid = value_of("{% $uuid() %}").await;
    let uuid = uuid.as_str().unwrap();
    assert_eq!((uuid.len(), uuid.as_bytes()[14], uuid.matches('-').count()), (36, b'4', 4));
}

#[tokio::test(start_paused = true)]
async fn the_functions_of_aws_refuse_what_they_cannot_do() {
    let cases = [
        ("{% $partition([1], 0) %}", "whole number of at least 1"),
        ("{% $partition(1, 1) %}", "takes an array"),
        ("{% $range(1, 1001, 1) %}", "at most 1000 items"),
        ("{% $range(1, 2, 0) %}", "must not be 0"),
        ("{% $range(1, 2) %}", "takes a first number"),
        ("{% $hash('a', 'MD5') %}", "does not know the algorithm"),
        ("{% $parse('{') %}", "not JSON"),
        ("{% $parse(1) %}", "takes one string"),
        ("{% $random('x') %}", "takes nothing or one number"),
        ("{% $now('[Y]') %}", "takes no picture"),
    ];
    for (expression, reason) in cases {
        let cause = cause_of(expression).await;
        assert!(cause.contains(reason), "{expression}: {cause}");
    }
}

// Time and chance are the runner's, so a test can repeat a run.
#[tokio::test(start_paused = true)]
async fn time_is_that_of_the_runner() {
    let states = json!({
        "A": { "Type": "Wait", "Seconds": 90, "Next": "B" },
        "B": { "Type": "Pass", "Output": ["{% $now() %}", "{% $millis() %}", "{% $uuid() %}"], "End": true },
    });
    let first = Bench::of(states.clone()).run(json!({})).await.output.unwrap();
    assert_eq!(first[0], json!("2026-11-22T12:01:30.000Z"));
    assert_eq!(first[1], json!(1_795_348_890_000_u64));
    let second = Bench::of(states).run(json!({})).await.output.unwrap();
    assert_eq!(first, second);
}

// AWS, "Accessing execution data from the Context object".
#[tokio::test(start_paused = true)]
async fn the_context_tells_who_and_when() {
    let states = json!({
        "A": { "Type": "Wait", "Seconds": 5, "Next": "B" },
        "B": { "Type": "Pass", "Output": "{% $states.context %}", "End": true },
    });
    let execution = Bench::of(states).run(json!({ "a": 1 })).await;
    let expected = json!({
        "Execution": {
            "Id": "arn:aws:states:local:000000000000:execution:flow:run",
            "Input": { "a": 1 },
            "Name": "run",
            "StartTime": "2026-11-22T12:00:00.000Z",
        },
        "State": { "Name": "B", "EnteredTime": "2026-11-22T12:00:05.000Z" },
        "StateMachine": { "Id": "arn:aws:states:local:000000000000:stateMachine:flow", "Name": "flow" },
    });
    assert_eq!(execution.output, Some(expected));
    assert_eq!(execution.id.as_str(), "arn:aws:states:local:000000000000:execution:flow:run");
}

// AWS, "Accessing execution data from the Context object": RetryCount is 0 at first, and counts all retriers.
#[tokio::test(start_paused = true)]
async fn the_context_counts_retries() {
    let script = with(
        task("script", json!({ "errors": ["A", "B"], "then": 1 })),
        json!({
            "Retry": [{ "ErrorEquals": ["A"] }, { "ErrorEquals": ["B"] }],
            "Output": "{% $states.context.State.RetryCount %}",
        }),
    );
    let bench = Bench::of(json!({ "A": script }));
    assert_eq!(bench.run(json!({})).await.output, Some(json!(2)));
    let counts: Vec<_> = bench.functions.calls.lock().unwrap().iter().map(|call| call.retry_count).collect();
    assert_eq!(counts, [0, 1, 2]);
}

// The location of a fault, down to the member (AWS, EvaluationFailedEventDetails).
#[tokio::test(start_paused = true)]
async fn an_error_names_its_place() {
    let bench = Bench::of(json!({
        "A": { "Type": "Pass", "Output": { "a": [1, { "b": "{% $states.input.missing %}" }] }, "End": true },
    }));
    let execution = bench.run(json!({})).await;
    assert!(execution.cause.unwrap().starts_with("in the field Output/a[1]/b of the state \"A\": "));
    let event = &bench.history()[2];
    assert_eq!(event.event_type.as_str(), "EvaluationFailed");
    assert_eq!(event.details["location"], json!("Output/a[1]/b"));
    assert_eq!(event.state_name(), Some("A"));
}

// A runaway expression ends as an error, not as a stuck process.
#[tokio::test(start_paused = true)]
async fn an_endless_recursion_is_an_error() {
    cause_of("{% ($f := function($x) { 1 + $f($x) }; $f(1)) %}").await;
}
