//! What tests and pictures see of a machine.

use rekindle_flow::{
    CatchOutline, Integration, JitterStrategy, RetryOutline, Seconds, StateType, TaskOutline, Transition,
};
use serde_json::{Value, json};

use crate::bench::{machine, task, waiting_task, with};

fn flow() -> Value {
    json!({
        "Plan": with(task("plan", json!({})), json!({
            "TimeoutSeconds": 60,
            "Retry": [
                { "ErrorEquals": ["Busy"], "IntervalSeconds": 2, "MaxAttempts": 5, "BackoffRate": 1.5,
                  "MaxDelaySeconds": 30, "JitterStrategy": "FULL" },
                { "ErrorEquals": ["States.ALL"] },
            ],
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Broken" }],
        })),
        "Which": {
            "Type": "Choice",
            "Choices": [{ "Condition": "{% $states.input.all %}", "Next": "Each" }],
            "Default": "Done",
        },
        "Each": {
            "Type": "Map",
            "Items": "{% $states.input.items %}",
            "ItemProcessor": {
                "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
                "StartAt": "Restore",
                "States": {
                    "Restore": with(waiting_task(), json!({
                        "TimeoutSeconds": "{% $states.input.most %}",
                        "HeartbeatSeconds": 30,
                    })),
                },
            },
            "Next": "Recover",
        },
        "Recover": {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Arguments": { "StateMachineArn": "recover-service" },
            "Next": "Done",
        },
        "Done": { "Type": "Succeed" },
        "Broken": { "Type": "Fail", "Error": "Broken" },
    })
}

fn read() -> rekindle_flow::StateMachine {
    let mut flow = flow();
    flow["Plan"].as_object_mut().unwrap().remove("End");
    flow["Plan"]["Next"] = json!("Which");
    machine("flow", &flow)
}

#[test]
fn every_task_is_told_with_what_it_does_about_errors() {
    let retry =
        |errors: &str, interval_seconds, max_attempts, backoff_rate, max_delay_seconds, jitter_strategy| {
            RetryOutline {
                errors: vec![errors.to_owned()],
                interval_seconds,
                max_attempts,
                backoff_rate,
                max_delay_seconds,
                jitter_strategy,
            }
        };
    let plain = |path: &[&str], integration, function_name: &str, next: Option<&str>| TaskOutline {
        path: path.iter().map(ToString::to_string).collect(),
        integration,
        function_name: function_name.to_owned(),
        retries: Vec::new(),
        catches: Vec::new(),
        timeout_seconds: None,
        heartbeat_seconds: None,
        next: next.map(str::to_owned),
    };
    let expected = [
        TaskOutline {
            retries: vec![
                retry("Busy", 2, 5, 1.5, Some(30), JitterStrategy::Full),
                retry("States.ALL", 1, 3, 2.0, None, JitterStrategy::None),
            ],
            catches: vec![CatchOutline { errors: vec!["States.ALL".to_owned()], next: "Broken".to_owned() }],
            timeout_seconds: Some(Seconds::Fixed(60)),
            ..plain(&["Plan"], Integration::LambdaInvoke, "plan", Some("Which"))
        },
        TaskOutline {
            timeout_seconds: Some(Seconds::Evaluated("$states.input.most".to_owned())),
            heartbeat_seconds: Some(Seconds::Fixed(30)),
            ..plain(&["Each", "Restore"], Integration::LambdaInvokeWaitForTaskToken, "token", None)
        },
        plain(&["Recover"], Integration::StartExecutionSync, "recover-service", Some("Done")),
    ];
    assert_eq!(read().tasks(), expected);
    assert_eq!(read().tasks()[1].state(), "Restore");
}

#[test]
fn every_state_is_told_with_its_ways_out() {
    let machine = read();
    let states: Vec<_> = machine
        .states()
        .into_iter()
        .map(|state| {
            let ways =
                state.next.iter().map(|Transition { label, to }| format!("{label}>{to}")).collect::<Vec<_>>();
            (state.path.join("/"), state.state_type, state.start, state.end, ways.join(" "))
        })
        .collect();
    let row = |path: &str, kind, start, end, ways: &str| (path.to_owned(), kind, start, end, ways.to_owned());
    let expected = [
        row("Plan", StateType::Task, true, false, ">Which States.ALL>Broken"),
        row("Which", StateType::Choice, false, false, "$states.input.all>Each Default>Done"),
        row("Each", StateType::Map, false, false, ">Recover"),
        row("Each/Restore", StateType::Task, true, true, ""),
        row("Recover", StateType::Task, false, false, ">Done"),
        row("Done", StateType::Succeed, false, true, ""),
        row("Broken", StateType::Fail, false, true, ""),
    ];
    assert_eq!(states, expected);
    assert_eq!(machine.start_at(), "Plan");
}
