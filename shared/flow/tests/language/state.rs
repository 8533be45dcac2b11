//! What each type of state does.

use rekindle_flow::ExecutionStatus::{Failed, Succeeded};
use serde_json::{Value, json};

use crate::bench::{Bench, task, with};

// Specification, "Pass State": without Output, the output is the input.
#[tokio::test(start_paused = true)]
async fn pass_hands_on_its_input_or_its_output() {
    let cases = [
        (json!({}), json!({ "a": 1 })),
        (json!({ "Output": 5 }), json!(5)),
        (json!({ "Output": null }), json!(null)),
        (
            json!({ "Output": { "b": "{% $states.input.a + 1 %}", "c": [true] } }),
            json!({ "b": 2, "c": [true] }),
        ),
    ];
    for (more, expected) in cases {
        let pass = with(json!({ "Type": "Pass", "End": true }), more);
        let execution = Bench::of(json!({ "A": pass })).run(json!({ "a": 1 })).await;
        assert_eq!((execution.status, execution.output), (Succeeded, Some(expected)));
    }
}

// Specification, "Succeed State". (An emulator ignores Output here; AWS does not.)
#[tokio::test(start_paused = true)]
async fn succeed_ends_with_its_output() {
    let plain = Bench::of(json!({ "A": { "Type": "Succeed" } })).run(json!([1])).await;
    assert_eq!(plain.output, Some(json!([1])));
    let shaped = Bench::of(json!({ "A": { "Type": "Succeed", "Output": "{% $states.input[0] %}" } }));
    assert_eq!(shaped.run(json!([1])).await.output, Some(json!(1)));
}

// Specification, "Fail State"; AWS, "Fail workflow state": both fields are optional and may be expressions.
#[tokio::test(start_paused = true)]
async fn fail_ends_with_its_error() {
    let cases = [
        (json!({}), None, None),
        (json!({ "Error": "E", "Cause": "because" }), Some("E"), Some("because")),
        (
            json!({ "Error": "{% $states.input.kind %}", "Cause": "{% 'no ' & $states.input.kind %}" }),
            Some("Disk"),
            Some("no Disk"),
        ),
        (json!({ "Cause": "alone" }), None, Some("alone")),
    ];
    for (fields, error, cause) in cases {
        let fail = with(json!({ "Type": "Fail" }), fields);
        let execution = Bench::of(json!({ "A": fail })).run(json!({ "kind": "Disk" })).await;
        assert_eq!(execution.status, Failed);
        assert_eq!((execution.error.as_deref(), execution.cause.as_deref()), (error, cause));
        assert_eq!(execution.output, None);
    }
}

// AWS, "Fail workflow state": Error and Cause are strings.
#[tokio::test(start_paused = true)]
async fn fail_with_an_error_that_is_no_text_is_an_evaluation_error() {
    let fail = json!({ "A": { "Type": "Fail", "Error": "{% 5 %}" } });
    let execution = Bench::of(fail).run(json!({})).await;
    assert_eq!(execution.error.as_deref(), Some("States.QueryEvaluationError"));
    assert!(execution.cause.unwrap().contains("Error gave a number, which is not a string"));
}

fn choice() -> Value {
    json!({
        "Choose": {
            "Type": "Choice",
            "Choices": [
                { "Condition": "{% $states.input.n > 10 %}", "Next": "Large" },
                {
                    "Condition": "{% $states.input.n > 5 %}",
                    "Assign": { "seen": "{% $states.input.n %}" },
                    "Output": { "was": "{% $states.input.n %}" },
                    "Next": "Middle",
                },
            ],
            "Default": "Small",
        },
        "Large": { "Type": "Pass", "Output": "large", "End": true },
        "Middle": { "Type": "Pass", "Output": ["{% $seen %}", "{% $states.input.was %}"], "End": true },
        "Small": { "Type": "Pass", "End": true },
    })
}

// Specification, "Choice State": the first rule that holds; otherwise Default. A rule has its own Assign and Output.
#[tokio::test(start_paused = true)]
async fn the_first_rule_that_holds_is_taken() {
    let cases = [
        (json!({ "n": 11 }), json!("large")),
        (json!({ "n": 6 }), json!([6, 6])),
        (json!({ "n": 5 }), json!({ "n": 5 })),
    ];
    for (input, expected) in cases {
        assert_eq!(Bench::of(choice()).run(input).await.output, Some(expected));
    }
}

// Specification, "Choice State", and appendix A, States.NoChoiceMatched.
#[tokio::test(start_paused = true)]
async fn no_rule_and_no_default_is_an_error() {
    let mut states = choice();
    states["Choose"].as_object_mut().unwrap().remove("Default");
    states.as_object_mut().unwrap().remove("Small");
    let execution = Bench::of(states).run(json!({ "n": 1 })).await;
    assert_eq!((execution.status, execution.error.as_deref()), (Failed, Some("States.NoChoiceMatched")));
}

// Specification, "Choice State": the condition must give a boolean. JSONata's idea of truth is not enough.
#[tokio::test(start_paused = true)]
async fn a_condition_must_be_a_boolean() {
    for (condition, kind) in
        [("1", "a number"), ("'true'", "a string"), ("null", "null"), ("[true, true]", "an array")]
    {
        let states = json!({
            "A": { "Type": "Choice", "Choices": [{ "Condition": format!("{{% {condition} %}}"), "Next": "B" }] },
            "B": { "Type": "Succeed" },
        });
        let execution = Bench::of(states).run(json!({})).await;
        assert_eq!(execution.error.as_deref(), Some("States.QueryEvaluationError"), "{condition}");
        assert!(execution.cause.unwrap().contains(&format!("gave {kind}, which is not a boolean")));
    }
}

// Specification, "Choice State": rules after the one that holds are not evaluated.
#[tokio::test(start_paused = true)]
async fn later_rules_are_not_looked_at() {
    let states = json!({
        "A": {
            "Type": "Choice",
            "Choices": [
                { "Condition": "{% true %}", "Next": "B" },
                { "Condition": "{% $error('never') %}", "Next": "B" },
            ],
        },
        "B": { "Type": "Succeed" },
    });
    assert_eq!(Bench::of(states).run(json!({})).await.status, Succeeded);
}

// Specification, "Wait State"; AWS, "Wait workflow state".
#[tokio::test(start_paused = true)]
async fn wait_lets_time_pass() {
    let cases = [
        (json!({ "Seconds": 0 }), 0.0),
        (json!({ "Seconds": 99_999_999 }), 99_999_999.0),
        (json!({ "Seconds": "{% $states.input.seconds * 2 %}" }), 14.0),
        (json!({ "Timestamp": "2026-11-22T12:00:30Z" }), 30.0),
        (json!({ "Timestamp": "2026-11-22T13:00:30+01:00" }), 30.0),
        (json!({ "Timestamp": "{% $states.input.until %}" }), 86_400.0),
        (json!({ "Timestamp": "2020-01-01T00:00:00Z" }), 0.0),
    ];
    for (until, seconds) in cases {
        let bench = Bench::of(json!({ "A": with(json!({ "Type": "Wait", "End": true }), until.clone()) }));
        let execution = bench.run(json!({ "seconds": 7, "until": "2026-11-23T12:00:00Z" })).await;
        assert_eq!((execution.status, bench.seconds()), (Succeeded, seconds), "{until}");
    }
}

// A time is a point on the clock, not a distance from where the flow stands.
#[tokio::test(start_paused = true)]
async fn wait_reaches_a_time_from_anywhere() {
    let states = json!({
        "A": { "Type": "Wait", "Seconds": 10, "Next": "B" },
        "B": { "Type": "Wait", "Timestamp": "2026-11-22T12:00:30Z", "Next": "C" },
        "C": { "Type": "Wait", "Timestamp": "{% $states.context.Execution.StartTime %}", "End": true },
    });
    let bench = Bench::of(states);
    bench.run(json!({})).await;
    assert_eq!(bench.seconds(), 30.0);
}

// AWS, "Wait workflow state": Seconds is a whole number from 0 to 99999999, Timestamp is in the profile of RFC 3339.
#[tokio::test(start_paused = true)]
async fn wait_refuses_what_is_no_time() {
    for until in [
        json!({ "Seconds": "{% 1.5 %}" }),
        json!({ "Seconds": "{% -1 %}" }),
        json!({ "Seconds": "{% '5' %}" }),
        json!({ "Timestamp": "{% 'soon' %}" }),
        json!({ "Timestamp": "{% 5 %}" }),
    ] {
        let bench = Bench::of(json!({ "A": with(json!({ "Type": "Wait", "End": true }), until.clone()) }));
        let execution = bench.run(json!({})).await;
        assert_eq!(execution.error.as_deref(), Some("States.QueryEvaluationError"), "{until}");
    }
}

// AWS, "Invoke an Lambda function with Step Functions": the shape of the result; without Output it is the output.
#[tokio::test(start_paused = true)]
async fn a_task_gives_the_answer_of_its_function() {
    let execution = Bench::of(json!({ "A": task("echo", json!({ "n": 1 })) })).run(json!({})).await;
    let expected = json!({ "ExecutedVersion": "$LATEST", "Payload": { "n": 1 }, "StatusCode": 200 });
    assert_eq!(execution.output, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_task_shapes_arguments_and_output() {
    let echo = with(
        task("echo", json!({ "id": "{% $states.input.id %}", "fixed": [1] })),
        json!({ "Output": { "id": "{% $states.result.Payload.id %}", "input": "{% $states.input %}" } }),
    );
    let bench = Bench::of(json!({ "A": echo }));
    let execution = bench.run(json!({ "id": "i-1" })).await;
    assert_eq!(execution.output, Some(json!({ "id": "i-1", "input": { "id": "i-1" } })));
    let call = bench.functions.calls.lock().unwrap()[0].clone();
    assert_eq!(call.payload, json!({ "id": "i-1", "fixed": [1] }));
    assert_eq!((call.state_machine.as_str(), call.execution_name.as_str()), ("flow", "run"));
    assert_eq!((call.state.as_str(), call.function_name.as_str()), ("A", "echo"));
    assert_eq!((call.retry_count, call.waits_for_callback), (0, false));
    assert!(!format!("{call:?}").contains("i-1"));
}

// AWS, Lambda, Invoke: the payload is optional.
#[tokio::test(start_paused = true)]
async fn a_function_without_payload_gets_an_empty_object() {
    let echo = with(task("echo", json!({})), json!({ "Arguments": { "FunctionName": "echo" } }));
    let bench = Bench::of(json!({ "A": echo }));
    bench.run(json!({ "not": "this" })).await;
    assert_eq!(bench.functions.calls.lock().unwrap()[0].payload, json!({}));
}

// Specification, "Variables" and "Assign": values are those from before the state; Output does not see them yet.
#[tokio::test(start_paused = true)]
async fn assign_works_on_the_variables_from_before() {
    let states = json!({
        "A": { "Type": "Pass", "Assign": { "x": 3, "a": 6 }, "Next": "B" },
        "B": {
            "Type": "Pass",
            "Assign": { "x": "{% $a %}", "nextX": "{% $x %}" },
            "Output": "{% $x %}",
            "Next": "C",
        },
        "C": { "Type": "Pass", "Output": ["{% $states.input %}", "{% $x %}", "{% $nextX %}", "{% $a %}"], "End": true },
    });
    assert_eq!(Bench::of(states).run(json!({})).await.output, Some(json!([3, 6, 3, 6])));
}

// Specification, "Variables": a whole object is assigned as it is, not merged.
#[tokio::test(start_paused = true)]
async fn assign_replaces_and_does_not_merge() {
    let states = json!({
        "A": { "Type": "Pass", "Assign": { "x": { "a": 1, "b": { "c": 2 } } }, "Next": "B" },
        "B": { "Type": "Pass", "Assign": { "x": { "b": "{% $x.b %}" } }, "Next": "C" },
        "C": { "Type": "Pass", "Output": "{% $x %}", "End": true },
    });
    assert_eq!(Bench::of(states).run(json!({})).await.output, Some(json!({ "b": { "c": 2 } })));
}

// A variable that no state on the way has assigned has no value: the expression fails, it does not guess.
#[tokio::test(start_paused = true)]
async fn a_variable_that_was_not_assigned_on_the_way_is_an_error() {
    let states = json!({
        "A": { "Type": "Choice", "Choices": [{ "Condition": "{% $states.input %}", "Next": "B" }], "Default": "C" },
        "B": { "Type": "Pass", "Assign": { "x": 1 }, "Next": "C" },
        "C": { "Type": "Pass", "Output": "{% $x %}", "End": true },
    });
    assert_eq!(Bench::of(states.clone()).run(json!(true)).await.output, Some(json!(1)));
    let without = Bench::of(states).run(json!(false)).await;
    assert_eq!(without.error.as_deref(), Some("States.QueryEvaluationError"));
}

// A flow may go back to an earlier state; the variables stay.
#[tokio::test(start_paused = true)]
async fn a_loop_keeps_its_variables() {
    let states = json!({
        "Begin": { "Type": "Pass", "Assign": { "n": 0 }, "Next": "Poll" },
        "Poll": { "Type": "Wait", "Seconds": 10, "Assign": { "n": "{% $n + 1 %}" }, "Next": "Enough" },
        "Enough": {
            "Type": "Choice",
            "Choices": [{ "Condition": "{% $n >= 3 %}", "Output": "{% $n %}", "Next": "End" }],
            "Default": "Poll",
        },
        "End": { "Type": "Succeed" },
    });
    let bench = Bench::of(states);
    assert_eq!(bench.run(json!({})).await.output, Some(json!(3)));
    assert_eq!(bench.seconds(), 30.0);
}

// AWS, "Step Functions service quotas", input or result data size: 262144 bytes.
#[tokio::test(start_paused = true)]
async fn payloads_have_a_limit() {
    let fitting = json!("x".repeat(262_142));
    let echo = json!({ "Type": "Pass", "Output": "{% $states.input.n = 1 ? $pad('', $states.input.size, 'x') : '' %}", "End": true });
    let run = async |size: u64| Bench::of(json!({ "A": echo })).run(json!({ "n": 1, "size": size })).await;
    assert_eq!(run(262_142).await.output, Some(fitting));
    assert_eq!(run(262_143).await.error.as_deref(), Some("States.DataLimitExceeded"));
    let result = Bench::of(json!({ "A": with(task("large", json!({})), json!({ "Output": 1 })) }))
        .run(json!({}))
        .await;
    assert_eq!(result.error.as_deref(), Some("States.DataLimitExceeded"));
    let assigned =
        json!({ "Type": "Pass", "Assign": { "x": "{% $pad('', 262143, 'x') %}" }, "Output": 1, "End": true });
    let assigned = Bench::of(json!({ "A": assigned })).run(json!({})).await;
    assert_eq!(assigned.error.as_deref(), Some("States.DataLimitExceeded"));
}
