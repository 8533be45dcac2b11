//! What is refused when a file is loaded: file, state and reason.

use rekindle_flow::{LoadError, StateMachine, Substitutions};
use serde_json::{Value, json};

use crate::bench::{machine, parse, task, text, waiting_task, with};

fn refused(states: Value) -> LoadError {
    parse("flow", &states).unwrap_err()
}

fn pass() -> Value {
    json!({ "Type": "Pass", "End": true })
}

fn refused_text(text: &str) -> String {
    let parsed = StateMachine::parse("flow.asl.json", text, &Substitutions::default());
    parsed.unwrap_err().to_string()
}

// Specification, "Structure of a State Machine".
#[test]
fn a_machine_must_be_whole() {
    let minimal = r#""States": { "A": { "Type": "Succeed" } }"#;
    let cases = [
        ("{".to_owned(), "is not JSON: "),
        ("[]".to_owned(), "a state machine must be an object"),
        (
            format!(r#"{{ "StartAt": "A", {minimal} }}"#),
            r#"the field "QueryLanguage" of a state machine must be "JSONata""#,
        ),
        (
            format!(r#"{{ "QueryLanguage": "JSONPath", "StartAt": "A", {minimal} }}"#),
            r#"the field "QueryLanguage" of a state machine must be "JSONata""#,
        ),
        (
            format!(r#"{{ "QueryLanguage": "JSONata", {minimal} }}"#),
            r#"a state machine needs the field "StartAt""#,
        ),
        (
            format!(r#"{{ "QueryLanguage": "JSONata", "StartAt": "B", {minimal} }}"#),
            r#""StartAt" names the state "B", which does not exist"#,
        ),
        (
            r#"{ "QueryLanguage": "JSONata", "StartAt": "A", "States": {} }"#.to_owned(),
            r#"the field "States" of a state machine must be an object with at least one state"#,
        ),
        (
            format!(r#"{{ "QueryLanguage": "JSONata", "StartAt": "A", "Version": "2.0", {minimal} }}"#),
            r#"the field "Version" of a state machine must be "1.0""#,
        ),
        (
            format!(r#"{{ "QueryLanguage": "JSONata", "StartAt": "A", "TimeoutSeconds": 0, {minimal} }}"#),
            r#"the field "TimeoutSeconds" of a state machine must be a whole number from 1 to 99999999"#,
        ),
        (
            format!(r#"{{ "QueryLanguage": "JSONata", "StartAt": "A", "Tracing": true, {minimal} }}"#),
            r#"the field "Tracing" of a state machine is not supported"#,
        ),
        (
            format!(r#"{{ "QueryLanguage": "JSONata", "StartAt": "A", "Comment": 1, {minimal} }}"#),
            r#"the field "Comment" of a state machine must be a string"#,
        ),
    ];
    for (text, reason) in cases {
        let message = refused_text(&text);
        assert!(message.starts_with(&format!("flow.asl.json: {reason}")), "{message}");
    }
}

// A second state of the same name would silently replace the first one.
#[test]
fn a_name_stands_once_in_an_object() {
    let message = refused_text(r#"{ "QueryLanguage": "JSONata", "StartAt": "A", "StartAt": "B" }"#);
    assert!(message.contains(r#"the name "StartAt" stands twice in one object"#), "{message}");
}

// The name of the machine is that of its file, and AWS's limits apply to it.
#[test]
fn the_name_of_the_file_names_the_machine() {
    let text = text(&json!({ "A": pass() }));
    for (file, name) in
        [("refresh-image.asl.json", "refresh-image"), ("some/where/recover.asl.json", "recover")]
    {
        let machine = StateMachine::parse(file, &text, &Substitutions::default()).unwrap();
        assert_eq!(machine.name(), name);
    }
    for file in ["refresh.json", ".asl.json", "", "a b.asl.json", "refresh-image"] {
        let refused = StateMachine::parse(file, &text, &Substitutions::default()).unwrap_err();
        assert!(refused.reason.contains("must be letters, digits, - and _"), "{file:?}: {refused}");
    }
}

#[test]
fn a_file_is_read_from_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flow.asl.json");
    std::fs::write(&path, text(&json!({ "A": pass() }))).unwrap();
    assert_eq!(StateMachine::load(&path, &Substitutions::default()).unwrap().name(), "flow");
    let missing = StateMachine::load(&folder.path().join("none.asl.json"), &Substitutions::default());
    assert!(missing.unwrap_err().reason.starts_with("cannot be read: "));
}

// A run keeps the definition it began with, known by its digest: of the file, whatever is put into it.
#[test]
fn the_digest_is_that_of_the_text() {
    let text = text(&json!({ "A": task("${Function}", json!({})) }));
    let digest = |name: &str| {
        let substitutions = Substitutions::new([("Function", name)]);
        let machine = StateMachine::parse("flow.asl.json", &text, &substitutions).unwrap();
        (machine.digest().to_owned(), machine.tasks()[0].function_name.clone())
    };
    let (first, second) = (digest("one"), digest("two"));
    assert_eq!(first.0, second.0);
    assert_eq!(first.0.len(), 64);
    assert_eq!((first.1.as_str(), second.1.as_str()), ("one", "two"));
}

// AWS, AWS::StepFunctions::StateMachine, DefinitionSubstitutions. CloudFormation leaves unknown ones as they are.
#[test]
fn every_placeholder_needs_a_substitution() {
    let text = text(&json!({ "A": task("${Function}", json!({})) }));
    let parse = |text: &str, pairs: &[(&str, &str)]| {
        StateMachine::parse("flow.asl.json", text, &Substitutions::new(pairs.iter().copied()))
    };
    let unknown = parse(&text, &[("Other", "x")]).unwrap_err();
    assert_eq!(unknown.to_string(), "flow.asl.json: the placeholder ${Function} has no substitution");
    let open = parse("{ \"${Function", &[]).unwrap_err();
    assert_eq!(open.reason, "a placeholder ${... is never closed");
    let quoted = parse(&text, &[("Function", "a\"b\\c")]).unwrap();
    assert_eq!(quoted.tasks()[0].function_name, "a\"b\\c");
    // A placeholder may also stand for a number.
    let number = text.replace("\"End\":true", "\"End\":true,\"TimeoutSeconds\":${Seconds}");
    assert!(parse(&number, &[("Function", "f"), ("Seconds", "30")]).is_ok());
}

// Specification, "States" and "Transitions".
#[test]
fn states_must_be_known_and_lead_somewhere() {
    let long = "x".repeat(81);
    let cases = [
        (json!({ "A": { "End": true } }), "A", r#"a state needs the field "Type", a string"#),
        (json!({ "A": { "Type": 5 } }), "A", r#"a state needs the field "Type", a string"#),
        (json!({ "A": { "Type": "Parallel", "End": true } }), "A", r#"the type "Parallel" is not supported"#),
        (json!({ "A": { "Type": "task", "End": true } }), "A", r#"the type "task" is not supported"#),
        (json!({ long.as_str(): pass() }), &long, "the name of a state must have 1 to 80 characters"),
        (json!({ "": pass() }), "", "the name of a state must have 1 to 80 characters"),
        (json!({ "A": { "Type": "Pass" } }), "A", r#"a state needs either "Next" or "End": true"#),
        (
            json!({ "A": { "Type": "Pass", "End": false } }),
            "A",
            r#"a state needs either "Next" or "End": true"#,
        ),
        (
            json!({ "A": { "Type": "Pass", "Next": "A", "End": true } }),
            "A",
            r#"a state needs either "Next" or "End": true"#,
        ),
        (
            json!({ "A": { "Type": "Pass", "Next": "B" } }),
            "A",
            r#"leads to the state "B", which does not exist"#,
        ),
        (json!({ "A": pass(), "B": pass() }), "B", r#"cannot be reached from "StartAt""#),
        (
            json!({ "A": pass(), "B": { "Type": "Pass", "Next": "C" }, "C": { "Type": "Pass", "Next": "B" } }),
            "B",
            r#"cannot be reached from "StartAt""#,
        ),
    ];
    for (states, state, reason) in cases {
        let refused = refused(states);
        assert_eq!((refused.state.as_deref(), refused.reason.as_str()), (Some(state), reason));
    }
    assert!(parse("flow", &json!({ "x".repeat(80): pass() })).is_ok());
}

// Specification, each type of state; AWS, "Transforming data with JSONata": the fields of JSONPath are not allowed.
#[test]
fn fields_must_be_known() {
    let cases = [
        (with(pass(), json!({ "Result": 1 })), r#"the field "Result" of a Pass state is not supported"#),
        (
            with(pass(), json!({ "InputPath": "$" })),
            r#"the field "InputPath" of a Pass state is not supported"#,
        ),
        (
            with(pass(), json!({ "QueryLanguage": "JSONPath" })),
            r#"the field "QueryLanguage" of a Pass state must be "JSONata""#,
        ),
        (with(pass(), json!({ "Assign": 5 })), r#"the field "Assign" of a Pass state must be an object"#),
        (
            with(task("echo", json!({})), json!({ "Parameters": {} })),
            r#"the field "Parameters" of a Task state is not supported"#,
        ),
        (
            with(task("echo", json!({})), json!({ "Credentials": {} })),
            r#"the field "Credentials" of a Task state is not supported"#,
        ),
        (
            json!({ "Type": "Succeed", "Assign": {} }),
            r#"the field "Assign" of a Succeed state is not supported"#,
        ),
        (json!({ "Type": "Fail", "End": true }), r#"the field "End" of a Fail state is not supported"#),
        (
            json!({ "Type": "Fail", "CausePath": "$.x" }),
            r#"the field "CausePath" of a Fail state is not supported"#,
        ),
        (json!({ "Type": "Fail", "Error": 5 }), r#"the field "Error" of a Fail state must be a string"#),
        (
            json!({ "Type": "Choice", "Choices": [], "Default": "A" }),
            r#"the field "Choices" of a Choice state must be an array that is not empty"#,
        ),
        (json!({ "Type": "Choice", "Default": "A" }), r#"a Choice state needs the field "Choices""#),
        (
            json!({ "Type": "Choice", "Choices": [{ "Condition": "{% true %}", "Next": "A" }], "Output": 1 }),
            r#"the field "Output" of a Choice state is not supported"#,
        ),
        (
            json!({ "Type": "Choice", "Choices": [{ "Variable": "$.a", "Next": "A" }] }),
            r#"the field "Variable" of a rule of a Choice is not supported"#,
        ),
        (
            json!({ "Type": "Choice", "Choices": [{ "Condition": "{% true %}" }] }),
            r#"a rule of a Choice needs the field "Next""#,
        ),
        (
            json!({ "Type": "Choice", "Choices": [{ "Condition": "true", "Next": "A" }] }),
            r#"the field "Condition" of a rule of a Choice must be a JSONata expression in {% %}"#,
        ),
        (json!({ "Type": "Wait", "End": true }), r#"a Wait state needs either "Seconds" or "Timestamp""#),
        (
            json!({ "Type": "Wait", "Seconds": 1, "Timestamp": "2026-11-22T12:00:00Z", "End": true }),
            r#"a Wait state needs either "Seconds" or "Timestamp""#,
        ),
        (
            json!({ "Type": "Wait", "Seconds": -1, "End": true }),
            r#"the field "Seconds" of a Wait state must be a whole number from 0 to 99999999"#,
        ),
        (
            json!({ "Type": "Wait", "Seconds": "5", "End": true }),
            r#"the field "Seconds" of a Wait state must be a JSONata expression in {% %}"#,
        ),
        (
            json!({ "Type": "Wait", "Timestamp": "tomorrow", "End": true }),
            r#"the field "Timestamp" of a Wait state must be a time such as 2026-11-22T14:56:27Z"#,
        ),
        (
            json!({ "Type": "Wait", "SecondsPath": "$.x", "End": true }),
            r#"the field "SecondsPath" of a Wait state is not supported"#,
        ),
    ];
    for (state, reason) in cases {
        let refused = refused(json!({ "A": state }));
        assert_eq!((refused.state.as_deref(), refused.reason.as_str()), (Some("A"), reason));
    }
}

// Specification, "Task State"; AWS, "Integrating services", optimized integrations for Lambda and Step Functions.
#[test]
fn tasks_must_call_what_is_known() {
    let of = |arguments: Value| with(task("echo", json!({})), json!({ "Arguments": arguments }));
    let execution = |arguments: Value| {
        json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Arguments": arguments,
            "End": true,
        })
    };
    let resource = |resource: &str| with(task("echo", json!({})), json!({ "Resource": resource }));
    let cases = [
        (
            resource("arn:aws:states:::aws-sdk:ec2:runInstances"),
            r#"the resource "arn:aws:states:::aws-sdk:ec2:runInstances" is not supported"#,
        ),
        (
            resource("arn:aws:lambda:eu-west-1:1:function:f"),
            r#"the resource "arn:aws:lambda:eu-west-1:1:function:f" is not supported"#,
        ),
        (
            resource("arn:aws:states:::states:startExecution.sync"),
            r#"the resource "arn:aws:states:::states:startExecution.sync" is not supported"#,
        ),
        (json!({ "Type": "Task", "End": true }), r#"a Task state needs the field "Resource""#),
        (
            json!({ "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true }),
            r#"a Task state needs the field "Arguments""#,
        ),
        (of(json!({ "Payload": {} })), r#"the Arguments of lambda:invoke needs the field "FunctionName""#),
        (
            of(json!({ "FunctionName": "{% $states.input.f %}" })),
            r#"the field "FunctionName" of the Arguments of lambda:invoke must be written out, not computed"#,
        ),
        (
            of(json!({ "FunctionName": "f", "InvocationType": "Event" })),
            r#"the field "InvocationType" of the Arguments of lambda:invoke is not supported"#,
        ),
        (of(json!("{% $states.input %}")), "the Arguments of lambda:invoke must be an object"),
        (
            execution(json!({ "Input": {} })),
            r#"the Arguments of startExecution.sync:2 needs the field "StateMachineArn""#,
        ),
        (
            execution(json!({ "StateMachineArn": "x", "TraceHeader": "y" })),
            r#"the field "TraceHeader" of the Arguments of startExecution.sync:2 is not supported"#,
        ),
        (
            with(task("echo", json!({})), json!({ "TimeoutSeconds": 0 })),
            r#"the field "TimeoutSeconds" of a Task state must be a whole number from 1 to 99999999"#,
        ),
        (
            with(task("echo", json!({})), json!({ "HeartbeatSeconds": 5 })),
            "HeartbeatSeconds has no meaning here: only a task that waits for its token sends heartbeats",
        ),
        (
            with(waiting_task(), json!({ "HeartbeatSeconds": 60, "TimeoutSeconds": 60 })),
            r#"the field "HeartbeatSeconds" of a Task state must be smaller than TimeoutSeconds"#,
        ),
        (
            with(waiting_task(), json!({ "Arguments": { "FunctionName": "token", "Payload": {} } })),
            r#"waits for its token, but "Arguments" never pass on $states.context.Task.Token"#,
        ),
        (
            task("echo", json!("{% $states.context.Task.Token %}")),
            "in the expression '$states.context.Task.Token': $states.context.Task.Token does not exist here",
        ),
        (
            with(waiting_task(), json!({ "Output": "{% $states.context.Task.Token %}" })),
            "in the expression '$states.context.Task.Token': $states.context.Task.Token does not exist here",
        ),
    ];
    for (state, reason) in cases {
        assert_eq!(refused(json!({ "A": state })).reason, reason);
    }
}

// Specification, "Retriers" and "Catchers"; AWS, "Handling errors".
#[test]
fn retriers_and_catchers_must_make_sense() {
    let retry = |retrier: Value| with(task("echo", json!({})), json!({ "Retry": [retrier] }));
    let catch = |catcher: Value| with(task("echo", json!({})), json!({ "Catch": [catcher] }));
    let all = json!({ "ErrorEquals": ["States.ALL"] });
    let cases = [
        (retry(json!({})), r#"a retrier needs the field "ErrorEquals""#),
        (
            retry(json!({ "ErrorEquals": [] })),
            r#"the field "ErrorEquals" of a retrier must be an array that is not empty"#,
        ),
        (
            retry(json!({ "ErrorEquals": "A" })),
            r#"the field "ErrorEquals" of a retrier must be an array that is not empty"#,
        ),
        (
            retry(json!({ "ErrorEquals": [1] })),
            r#"the field "ErrorEquals" of a retrier must be an array of strings"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["A"], "Interval": 1 })),
            r#"the field "Interval" of a retrier is not supported"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["A"], "IntervalSeconds": 0 })),
            r#"the field "IntervalSeconds" of a retrier must be a whole number from 1 to 99999999"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["A"], "IntervalSeconds": 1.5 })),
            r#"the field "IntervalSeconds" of a retrier must be a whole number from 1 to 99999999"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["A"], "MaxAttempts": -1 })),
            r#"the field "MaxAttempts" of a retrier must be a whole number from 0 to 99999999"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["A"], "BackoffRate": 0.5 })),
            r#"the field "BackoffRate" of a retrier must be a number of at least 1"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["A"], "IntervalSeconds": 5, "MaxDelaySeconds": 5 })),
            r#"the field "MaxDelaySeconds" of a retrier must be greater than IntervalSeconds"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["A"], "JitterStrategy": "HALF" })),
            r#"the field "JitterStrategy" of a retrier must be "FULL" or "NONE""#,
        ),
        (
            retry(json!({ "ErrorEquals": ["States.ALL", "A"] })),
            r#""States.ALL" must stand alone in ErrorEquals"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["States.Oops"] })),
            r#"the error "States.Oops" is not one that can be retried or caught here"#,
        ),
        (
            retry(json!({ "ErrorEquals": ["States.Runtime"] })),
            r#"the error "States.Runtime" is not one that can be retried or caught here"#,
        ),
        (
            with(task("echo", json!({})), json!({ "Retry": [all, { "ErrorEquals": ["A"] }] })),
            r#""States.ALL" must be in the last entry of Retry"#,
        ),
        (catch(json!({ "ErrorEquals": ["A"] })), r#"a catcher needs the field "Next""#),
        (
            catch(json!({ "ErrorEquals": ["A"], "Next": "Nowhere" })),
            r#"leads to the state "Nowhere", which does not exist"#,
        ),
        (
            catch(json!({ "ErrorEquals": ["A"], "Next": "A", "ResultPath": "$" })),
            r#"the field "ResultPath" of a catcher is not supported"#,
        ),
        (
            with(
                task("echo", json!({})),
                json!({ "Catch": [
                    { "ErrorEquals": ["States.ALL"], "Next": "A" },
                    { "ErrorEquals": ["B"], "Next": "A" },
                ] }),
            ),
            r#""States.ALL" must be in the last entry of Catch"#,
        ),
    ];
    for (state, reason) in cases {
        assert_eq!(refused(json!({ "A": state })).reason, reason);
    }
}

// Specification, "Map State"; AWS, "Using Map state in Distributed mode".
#[test]
fn maps_must_make_sense() {
    let inner =
        |config: Value| json!({ "ProcessorConfig": config, "StartAt": "B", "States": { "B": pass() } });
    let map = |more: Value| with(json!({ "Type": "Map", "Items": [1], "End": true }), more);
    let inline = json!({ "Mode": "INLINE" });
    let wrong_config = "a ProcessorConfig must be {\"Mode\": \"INLINE\"} or \
                        {\"Mode\": \"DISTRIBUTED\", \"ExecutionType\": \"STANDARD\"}";
    let cases = [
        (map(json!({})), r#"a Map state needs the field "ItemProcessor""#),
        (
            map(
                json!({ "ItemProcessor": inner(json!({ "Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS" })) }),
            ),
            wrong_config,
        ),
        (map(json!({ "ItemProcessor": inner(json!({ "Mode": "DISTRIBUTED" })) })), wrong_config),
        (
            map(json!({ "ItemProcessor": inner(json!({ "Mode": "INLINE", "ExecutionType": "STANDARD" })) })),
            wrong_config,
        ),
        (
            map(json!({ "ItemProcessor": inner(inline.clone()), "ToleratedFailureCount": 1 })),
            r#"the field "ToleratedFailureCount" is for a distributed Map only"#,
        ),
        (
            map(json!({ "ItemProcessor": inner(inline.clone()), "ItemReader": {} })),
            r#"the field "ItemReader" of a Map state is not supported"#,
        ),
        (
            map(json!({ "ItemProcessor": inner(inline.clone()), "ItemBatcher": {} })),
            r#"the field "ItemBatcher" of a Map state is not supported"#,
        ),
        (
            map(json!({ "ItemProcessor": inner(inline.clone()), "Iterator": {} })),
            r#"the field "Iterator" of a Map state is not supported"#,
        ),
        (
            map(json!({ "ItemProcessor": inner(inline.clone()), "Items": {} })),
            r#"the field "Items" of a Map state must be an array or a JSONata expression in {% %}"#,
        ),
        (
            map(json!({ "ItemProcessor": inner(inline.clone()), "MaxConcurrency": -1 })),
            r#"the field "MaxConcurrency" of a Map state must be a whole number from 0 to 99999999"#,
        ),
        (
            map(json!({ "ItemProcessor": { "StartAt": "C", "States": { "B": pass() } } })),
            r#""StartAt" names the state "C", which does not exist"#,
        ),
        (
            map(json!({ "ItemProcessor": { "StartAt": "A", "States": { "A": pass() } } })),
            "another state of this machine has the same name",
        ),
        (
            map(
                json!({ "ItemProcessor": { "StartAt": "B", "States": { "B": { "Type": "Pass", "Next": "A" } } } }),
            ),
            r#"leads to the state "A", which does not exist"#,
        ),
    ];
    for (state, reason) in cases {
        assert_eq!(refused(json!({ "A": state })).reason, reason);
    }
}

// AWS, "Transforming data with JSONata" and "Passing data between states with variables".
#[test]
fn expressions_must_refer_to_what_is_there() {
    let cases = [
        ("{% $states.input. %}", "is not JSONata"),
        ("{%%}", "is not JSONata"),
        ("{% $eval('1') %}", "the function $eval is not supported"),
        ("{% $map([1], $eval) %}", "assigns the variable $eval"),
        ("{% $shuffle([1]) %}", "the function $shuffle is not supported"),
        ("{% $unknown(1) %}", "the function $unknown is not supported"),
        ("{% $never + 1 %}", "no state that it can see assigns the variable $never"),
        ("{% $states.result %}", "$states.result does not exist here"),
        ("{% $states.errorOutput.Error %}", "$states.errorOutput.Error does not exist here"),
        ("{% $states.imput %}", "$states.imput does not exist here"),
        ("{% $states.context.Execution.RoleArn %}", "$states.context.Execution.RoleArn does not exist here"),
        ("{% $states.context.Execution.name %}", "$states.context.Execution.name does not exist here"),
        ("{% $states.context.State.RetryCount %}", "$states.context.State.RetryCount does not exist here"),
        ("{% [1].($states.context.Executionn) %}", "$states.context.Executionn does not exist here"),
    ];
    for (expression, reason) in cases {
        let refused = refused(json!({ "A": with(pass(), json!({ "Output": { "deep": [expression] } })) }));
        assert!(refused.reason.contains(reason), "{expression}: {refused}");
    }
}

#[test]
fn expressions_may_bind_their_own_names() {
    for expression in [
        "{% ($x := 1; $f := function($y) { $x + $y }; $f(2)) %}",
        "{% $map([1, 2], function($value, $index) { $value * $index }) %}",
        "{% $map(['a'], $uppercase) %}",
        "{% $states.input.a@$left.b#$index.{ 'left': $left, 'index': $index } %}",
        "{% $states %}",
        "{% $states.context.Map.Item.Value.anything %}",
    ] {
        machine("flow", &json!({ "A": with(pass(), json!({ "Output": expression })) }));
    }
}

// AWS, "Passing data between states with variables", naming.
#[test]
fn variables_must_have_proper_names() {
    for name in ["states", "", "1st", "a-b", "a b", "a.b", "$a", &"x".repeat(81)] {
        let refused = refused(json!({ "A": with(pass(), json!({ "Assign": { name: 1 } })) }));
        assert!(refused.reason.ends_with("cannot be the name of a variable"), "{refused}");
    }
    for name in ["a", "_a", "runId2", "größe"] {
        machine("flow", &json!({ "A": with(pass(), json!({ "Assign": { name: 1 } })) }));
    }
}

// AWS, "Passing data between states with variables", scope: an inner scope reads the outer one and cannot assign it;
// the children of a distributed Map do not see it.
#[test]
fn variables_belong_to_their_scope() {
    let flow = |config: Value, inner: Value| {
        json!({
            "A": { "Type": "Pass", "Assign": { "outer": 1 }, "Next": "Map" },
            "Map": {
                "Type": "Map",
                "Items": [1],
                "ItemProcessor": { "ProcessorConfig": config, "StartAt": "B", "States": { "B": inner } },
                "End": true,
            },
        })
    };
    let inline = json!({ "Mode": "INLINE" });
    let distributed = json!({ "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" });
    let reads = with(pass(), json!({ "Output": "{% $outer %}" }));
    let assigns = with(pass(), json!({ "Assign": { "outer": 2 } }));
    assert!(parse("flow", &flow(inline.clone(), reads.clone())).is_ok());
    assert!(parse("flow", &flow(distributed.clone(), assigns.clone())).is_ok());
    let hidden = refused(flow(distributed, reads));
    assert_eq!(
        hidden.reason,
        "in the expression '$outer': no state that it can see assigns the variable $outer"
    );
    let taken = refused(flow(inline, assigns));
    assert_eq!(
        taken.to_string(),
        "flow.asl.json: state \"B\": the variable \"outer\" is one of the states around the Map, which cannot be assigned here"
    );
    let leaked = json!({
        "Map": {
            "Type": "Map",
            "Items": [1],
            "ItemProcessor": { "StartAt": "B", "States": { "B": with(pass(), json!({ "Assign": { "inner": 1 } })) } },
            "Output": "{% $inner %}",
            "End": true,
        },
    });
    assert!(refused(leaked).reason.contains("no state that it can see assigns the variable $inner"));
}
