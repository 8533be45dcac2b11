//! Every folder in `functions/` is one function, and is told what its code reads.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_infra_tests::documents::{self, kebab};
use rekindle_infra_tests::policy::roles;
use rekindle_infra_tests::template::Resource;
use rekindle_infra_tests::{Deployment, repository};
use serde_json::{Value, json};

use crate::orchestrator;

fn folders() -> BTreeSet<String> {
    let entries = std::fs::read_dir(repository().join("functions")).unwrap();
    let folders =
        entries.map(|entry| entry.unwrap()).filter(|entry| entry.path().join("Cargo.toml").is_file());
    folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn name(function: &Resource<'_>) -> String {
    kebab(function.id.strip_suffix("Function").unwrap())
}

#[test]
fn every_folder_is_one_function_and_the_other_way_round() {
    let template = orchestrator();
    let functions: BTreeSet<String> =
        template.of_type("AWS::Serverless::Function").map(|f| name(&f)).collect();
    assert_eq!(functions, folders());
}

#[test]
fn a_function_has_its_own_package_role_policy_and_log() {
    let template = orchestrator();
    for function in template.of_type("AWS::Serverless::Function") {
        let (name, stem) = (name(&function), function.id.strip_suffix("Function").unwrap());
        let properties = function.properties();
        assert_eq!(properties["FunctionName"], json!({"Fn::Sub": format!("${{AWS::StackName}}-{name}")}));
        assert_eq!(properties["CodeUri"], format!("../target/lambda/{name}/bootstrap.zip"));
        assert_eq!(properties["Role"], json!({"Fn::GetAtt": [format!("{stem}Role"), "Arn"]}));
        let role = template.resource(&format!("{stem}Role")).unwrap();
        // The customer's trust policies name functions by this path.
        assert_eq!(
            role.properties()["Path"],
            json!({"Fn::Sub": format!("/rekindle/${{AWS::StackName}}/{name}/")})
        );
        let log = template.resource(&format!("{stem}Log")).unwrap();
        assert_eq!(
            log.properties()["LogGroupName"],
            json!({"Fn::Sub": format!("/aws/lambda/${{AWS::StackName}}-{name}")})
        );
        assert_eq!(log.properties()["RetentionInDays"], json!({"Ref": "LogRetentionDays"}));
        assert_eq!(
            function.body["DependsOn"],
            format!("{stem}Log"),
            "Lambda would make a log that never ends"
        );
    }
    let globals = &template.section("Globals")["Function"];
    assert_eq!(globals["Runtime"], "provided.al2023");
    assert_eq!(globals["Handler"], "bootstrap");
}

#[test]
fn a_function_is_told_exactly_what_its_code_reads() {
    let template = orchestrator();
    let for_all = variables(&template.section("Globals")["Function"]);
    assert_eq!(for_all.keys().collect::<Vec<_>>(), ["REKINDLE_LOG", "REKINDLE_TABLE"]);
    for function in template.of_type("AWS::Serverless::Function") {
        let name = name(&function);
        let code =
            std::fs::read_to_string(repository().join(format!("functions/{name}/src/main.rs"))).unwrap();
        let told: BTreeSet<String> = variables(function.properties()).into_keys().collect();
        let read: BTreeSet<String> = reads(&code).into_iter().map(str::to_owned).collect();
        assert_eq!(told, read, "{name}");
    }
}

/// Parts of `rekindle_lambda_host`, and the variables behind them. The register is everybody's.
const PARTS: [(&str, &[&str]); 8] = [
    ("host.control()", &["REKINDLE_CONTROL_BUCKET"]),
    ("host.control_bucket()", &["REKINDLE_CONTROL_BUCKET"]),
    ("host.customer()", &["REKINDLE_CUSTOMER_ID"]),
    ("host.workflow()", &["REKINDLE_STATE_MACHINES"]),
    ("host.agent_jobs()", &["REKINDLE_STATE_MACHINES"]),
    ("host.stack_and_region()", &["REKINDLE_STATE_MACHINES"]),
    ("host.cloud(", &["REKINDLE_CUSTOMER_EXTERNAL_ID", "REKINDLE_CUSTOMER_ROLE", "REKINDLE_LAUNCH"]),
    ("Callers::instances(", &["REKINDLE_INSTANCE_ROLE"]),
];

fn reads(code: &str) -> BTreeSet<&'static str> {
    let used = PARTS.iter().filter(|(part, _)| code.contains(part));
    used.flat_map(|(_, variables)| variables.iter().copied()).collect()
}

/// A part that this table does not know could read a variable that nobody gives.
#[test]
fn the_table_knows_every_part_of_the_host() {
    let known = ["clock", "register"];
    for name in folders() {
        let code =
            std::fs::read_to_string(repository().join(format!("functions/{name}/src/main.rs"))).unwrap();
        for part in code.split("host.").skip(1) {
            let part = part.split('(').next().unwrap();
            let is_known = known.contains(&part)
                || PARTS.iter().any(|(text, _)| text.starts_with(&format!("host.{part}(")));
            assert!(is_known, "functions/{name} uses host.{part}");
        }
    }
}

/// Every function is told of the table, since its host could record steps in it. Only those of runs ever do.
#[test]
fn only_whoever_uses_the_register_may() {
    let template = orchestrator();
    for role in roles(&template, Deployment::OneAccount) {
        let name = documents::file_name(&role.id);
        let Ok(code) = std::fs::read_to_string(repository().join(format!("functions/{name}/src/main.rs")))
        else {
            continue;
        };
        let may = role
            .statements
            .iter()
            .any(|statement| statement.actions().iter().any(|action| action.starts_with("dynamodb:")));
        let uses = ["host.register()", "host.agent_jobs()"].iter().any(|part| code.contains(part));
        assert_eq!(may, uses, "{name}");
    }
}

#[test]
fn no_code_reads_a_variable_that_no_function_is_told() {
    let template = orchestrator();
    let mut told: BTreeSet<String> =
        variables(&template.section("Globals")["Function"]).into_keys().collect();
    for function in template.of_type("AWS::Serverless::Function") {
        told.extend(variables(function.properties()).into_keys());
    }
    let mut read = BTreeSet::new();
    for file in ["shared/lambda-host/src/environment.rs", "shared/cloud-aws/src/environment.rs"] {
        let text = std::fs::read_to_string(repository().join(file)).unwrap();
        read.extend(text.split('"').filter(|part| part.starts_with("REKINDLE_")).map(str::to_owned));
    }
    assert_eq!(read, told);
}

fn variables(properties: &Value) -> BTreeMap<String, Value> {
    let variables = properties["Environment"]["Variables"].as_object().into_iter().flatten();
    variables.map(|(name, value)| (name.clone(), value.clone())).collect()
}
