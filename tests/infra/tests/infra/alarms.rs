//! Whom a failure reaches: alarms, and what keeps events that nobody took.

use std::collections::BTreeSet;

use rekindle_infra_tests::repository;
use rekindle_infra_tests::template::Resource;
use serde_json::{Value, json};

use crate::orchestrator;

/// Functions that are called without anybody waiting and keep nothing of what failed, and why that is right.
const KEEP_NOTHING: [(&str, &str); 1] = [("SweepFunction", "the next sweep does what this one did not")];

/// Of the machines whose executions nothing stops in ordinary operation. Whoever ends a recovery stops `recover`, and
/// with it the executions of `recover-service`.
const NEVER_STOPPED: [&str; 1] = ["RefreshImageStateMachine"];

fn dead_letters() -> Value {
    json!({"Fn::GetAtt": ["DeadLetters", "Arn"]})
}

/// The one thing that an alarm is about, as the template refers to it.
fn watched<'a>(alarm: &Resource<'a>) -> Option<&'a str> {
    alarm.properties()["Dimensions"][0]["Value"]["Ref"].as_str()
}

fn names(metric: &str) -> BTreeSet<String> {
    let template = orchestrator();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let of_metric = alarms.filter(|alarm| alarm.properties()["MetricName"] == metric);
    of_metric.filter_map(|alarm| watched(&alarm).map(str::to_owned)).collect()
}

#[test]
fn every_alarm_tells_somebody_and_is_explained() {
    let template = orchestrator();
    let operations = std::fs::read_to_string(repository().join("docs/OPERATIONS.md")).unwrap();
    for alarm in template.of_type("AWS::CloudWatch::Alarm") {
        let properties = alarm.properties();
        assert_eq!(properties["AlarmActions"], json!([{"Ref": "AlarmTopic"}]), "{}", alarm.id);
        let name = properties["AlarmName"]["Fn::Sub"].as_str().unwrap();
        let name = name.strip_prefix("${AWS::StackName}").unwrap();
        assert!(operations.contains(&format!("{name}`")), "{name} is not in docs/OPERATIONS.md");
    }
}

#[test]
fn the_cost_is_that_of_as_many_alarms_as_there_are() {
    let number = orchestrator().of_type("AWS::CloudWatch::Alarm").count();
    let model = std::fs::read_to_string(repository().join("xtask/src/cost/model.rs")).unwrap();
    let counted = model.split("const ALARMS: f64 = ").nth(1).unwrap().split(';').next().unwrap();
    assert_eq!(counted, format!("{number}.0"), "xtask/src/cost/model.rs");
    let readme = std::fs::read_to_string(repository().join("infra/README.md")).unwrap();
    let row = readme.lines().find(|line| line.contains(" alarms at 0.10")).unwrap();
    assert!(row.ends_with(&format!("| {}.{}0 |", number / 10, number % 10)), "infra/README.md: {row}");
}

/// A router answers 5xx as a success of its function, so the function's errors tell of crashes alone.
#[test]
fn interfaces_are_watched_by_what_callers_are_answered() {
    let template = orchestrator();
    let interfaces: BTreeSet<String> =
        template.of_type("AWS::ApiGatewayV2::Api").map(|interface| interface.id.to_owned()).collect();
    assert_eq!(names("5xx"), interfaces);
    let behind: BTreeSet<String> =
        interfaces.iter().map(|interface| format!("{interface}Function")).collect();
    assert!(names("Errors").is_disjoint(&behind), "{:?}", names("Errors"));
}

#[test]
fn executions_that_end_badly_are_told_of() {
    // A service's failure is its recovery's, which is told.
    let told = BTreeSet::from(["RecoverStateMachine".to_owned(), "RefreshImageStateMachine".to_owned()]);
    assert_eq!(names("ExecutionsFailed"), told);
    assert_eq!(names("ExecutionsTimedOut"), told);
    assert_eq!(names("ExecutionsAborted"), NEVER_STOPPED.map(str::to_owned).into());
}

#[test]
fn what_could_not_be_delivered_is_kept() {
    let template = orchestrator();
    let schedules = template.of_type("AWS::Scheduler::Schedule").map(|schedule| {
        (schedule.id.to_owned(), schedule.properties()["Target"]["DeadLetterConfig"]["Arn"].clone())
    });
    let rules = template.of_type("AWS::Serverless::Function").flat_map(|function| {
        let events = function.properties()["Events"].as_object().into_iter().flatten();
        let kept = events.map(|(name, event)| {
            (format!("{}.{name}", function.id), event["Properties"]["DeadLetterConfig"]["Arn"].clone())
        });
        kept.collect::<Vec<_>>()
    });
    let all: Vec<(String, Value)> = schedules.chain(rules).collect();
    assert_eq!(all.len(), 3, "two schedules and one rule: {all:?}");
    for (target, kept) in all {
        assert_eq!(kept, dead_letters(), "{target}");
    }
    assert_eq!(template.of_type("AWS::Events::Rule").count(), 0, "rules are events of functions here");
}

#[test]
fn what_a_function_did_not_take_is_kept() {
    let template = orchestrator();
    let scheduled: BTreeSet<String> = template
        .of_type("AWS::Scheduler::Schedule")
        .map(|schedule| schedule.properties()["Target"]["Arn"]["Fn::GetAtt"][0].as_str().unwrap().to_owned())
        .collect();
    let is_asynchronous = |function: &Resource<'_>| {
        scheduled.contains(function.id) || function.properties().get("Events").is_some()
    };
    let mut looked_at = 0;
    for function in template.of_type("AWS::Serverless::Function").filter(is_asynchronous) {
        let kept = &function.properties()["EventInvokeConfig"]["DestinationConfig"]["OnFailure"];
        let keeps_nothing = KEEP_NOTHING.iter().any(|(id, _)| *id == function.id);
        let wanted =
            if keeps_nothing { Value::Null } else { json!({"Type": "SQS", "Destination": dead_letters()}) };
        assert_eq!(*kept, wanted, "{}", function.id);
        looked_at += 1;
    }
    assert_eq!(looked_at, 3, "wake, rehearse and the sweep");
}
