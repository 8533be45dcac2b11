//! The state machines and what the template tells them.

use std::collections::BTreeSet;

use rekindle_infra_tests::policy::roles;
use rekindle_infra_tests::template::Resource;
use rekindle_infra_tests::{Deployment, repository};
use rekindle_step::ErrorName;
use serde_json::{Value, json};

use crate::orchestrator;

/// Errors that Lambda and Step Functions name themselves.
const OF_AWS: [&str; 15] = [
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "States.ALL",
    "States.HeartbeatTimeout",
    "States.TaskFailed",
    "States.Timeout",
    "StepFunctions.ExecutionAlreadyExistsException",
    "StepFunctions.SdkClientException",
    "StepFunctions.ThrottlingException",
];

fn flow(machine: &Resource<'_>) -> String {
    let uri = machine.properties()["DefinitionUri"].as_str().unwrap();
    uri.strip_prefix("../statemachines/").unwrap().strip_suffix(".asl.json").unwrap().to_owned()
}

fn definition(flow: &str) -> String {
    std::fs::read_to_string(repository().join(format!("statemachines/{flow}.asl.json"))).unwrap()
}

fn placeholders(definition: &str) -> BTreeSet<String> {
    let parts = definition.split("${").skip(1);
    parts.map(|part| part.split('}').next().unwrap().to_owned()).collect()
}

#[test]
fn every_flow_is_a_state_machine_and_the_other_way_round() {
    let template = orchestrator();
    let deployed: BTreeSet<String> =
        template.of_type("AWS::Serverless::StateMachine").map(|m| flow(&m)).collect();
    let files = std::fs::read_dir(repository().join("statemachines")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let written: BTreeSet<String> =
        names.filter_map(|name| name.strip_suffix(".asl.json").map(str::to_owned)).collect();
    assert_eq!(deployed, written);
}

#[test]
fn every_placeholder_is_given_and_nothing_else() {
    for machine in orchestrator().of_type("AWS::Serverless::StateMachine") {
        let given = machine.properties()["DefinitionSubstitutions"].as_object().unwrap();
        let given: BTreeSet<String> = given.keys().cloned().collect();
        assert_eq!(given, placeholders(&definition(&flow(&machine))), "{}", machine.id);
    }
}

#[test]
fn a_flow_is_named_published_and_keeps_execution_data_out_of_logs() {
    for machine in orchestrator().of_type("AWS::Serverless::StateMachine") {
        let properties = machine.properties();
        let name = json!({"Fn::Sub": format!("${{AWS::StackName}}-{}", flow(&machine))});
        assert_eq!(properties["Name"], name);
        assert_eq!(properties["AutoPublishAlias"], "live");
        assert_eq!(properties["Logging"]["IncludeExecutionData"], false, "it holds task tokens");
    }
}

#[test]
fn a_flow_calls_its_own_functions_only() {
    let template = orchestrator();
    let roles = roles(&template, Deployment::OneAccount);
    for machine in template.of_type("AWS::Serverless::StateMachine") {
        let role = machine.properties()["Role"]["Fn::GetAtt"][0].as_str().unwrap();
        let role = roles.iter().find(|candidate| candidate.id == role).unwrap();
        let calls =
            role.statements.iter().filter(|statement| statement.actions() == ["lambda:InvokeFunction"]);
        let called: BTreeSet<&str> = calls.flat_map(|statement| statement.resources()).collect();
        let wanted = placeholders(&definition(&flow(&machine)));
        let wanted: BTreeSet<String> = wanted
            .iter()
            .filter(|name| name.ends_with("Function"))
            .map(|name| format!("${{{name}.Arn}}"))
            .collect();
        assert_eq!(called, wanted.iter().map(String::as_str).collect(), "{}", machine.id);
    }
}

#[test]
fn every_error_that_a_flow_matches_has_a_name() {
    let own: BTreeSet<&str> = ErrorName::ALL.iter().map(|name| name.as_str()).collect();
    for machine in orchestrator().of_type("AWS::Serverless::StateMachine") {
        let definition: Value = serde_json::from_str(&definition(&flow(&machine))).unwrap();
        let mut matched = BTreeSet::new();
        collect_errors(&definition, &mut matched);
        assert!(!matched.is_empty());
        let unknown: Vec<_> = matched
            .iter()
            .filter(|name| !own.contains(name.as_str()) && !OF_AWS.contains(&name.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{} matches {unknown:?}", machine.id);
    }
}

fn collect_errors(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let names = fields.get("ErrorEquals").and_then(Value::as_array).into_iter().flatten();
            found.extend(names.filter_map(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect_errors(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_errors(item, found)),
        _ => {}
    }
}
