//! The two templates agree on names, and what costs money says whose it is.

use std::collections::BTreeSet;

use rekindle_infra_tests::Deployment;
use rekindle_infra_tests::policy::{roles, texts};
use serde_json::Value;

use crate::{customer, orchestrator};

/// Types that can carry tags and cost something, or are somebody's to clean up.
const TAGGED: [&str; 16] = [
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudFormation::Stack",
    "AWS::CloudWatch::Alarm",
    "AWS::DynamoDB::Table",
    "AWS::EC2::LaunchTemplate",
    "AWS::EC2::SecurityGroup",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::Serverless::Function",
    "AWS::Serverless::StateMachine",
];

#[test]
fn everything_says_which_stack_it_belongs_to() {
    for template in [orchestrator(), customer()] {
        for resource in template.resources().filter(|resource| TAGGED.contains(&resource.kind)) {
            let mut text = resource.body.to_string();
            if resource.kind == "AWS::Serverless::Function" {
                text = template.section("Globals").to_string();
            }
            assert!(text.contains("rekindle:stack"), "{}", resource.id);
        }
    }
}

#[test]
fn the_nested_stack_is_given_parameters_that_it_has() {
    let (orchestrator, customer) = (orchestrator(), customer());
    let given = orchestrator.resource("Customer").unwrap().properties()["Parameters"].clone();
    let given: BTreeSet<&String> =
        given.as_object().unwrap().keys().collect::<Vec<_>>().into_iter().collect();
    let declared = customer.section("Parameters").as_object().unwrap();
    let unknown: Vec<_> = given.iter().filter(|name| !declared.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let needed: Vec<_> =
        declared.iter().filter(|(_, body)| body.get("Default").is_none()).map(|(name, _)| name).collect();
    let missing: Vec<_> = needed.iter().filter(|name| !given.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_nested_stack_is_asked_for_outputs_that_it_has() {
    let outputs = customer().section("Outputs").clone();
    let mut asked = BTreeSet::new();
    for part in ["Resources", "Outputs"] {
        collect_outputs(orchestrator().section(part), &mut asked);
    }
    assert!(asked.contains("Launch") && asked.contains("DataKeyArn"));
    let missing: Vec<_> = asked.iter().filter(|name| outputs.get(name.as_str()).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn collect_outputs(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some([Value::String(resource), Value::String(attribute)]) =
                fields.get("Fn::GetAtt").and_then(Value::as_array).map(Vec::as_slice)
                && resource == "Customer"
            {
                found.extend(attribute.strip_prefix("Outputs.").map(str::to_owned));
            }
            fields.values().for_each(|field| collect_outputs(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_outputs(item, found)),
        _ => {}
    }
}

/// The function's policy names the role that the other template makes, whose trust policy names the function.
#[test]
fn functions_assume_roles_that_are_there_and_trust_them() {
    let here = Deployment::OneAccount;
    let (ours, customer) = (orchestrator(), customer());
    let theirs = roles(&customer, here);
    let mut pairs = 0;
    for role in roles(&ours, here) {
        let function = rekindle_infra_tests::documents::file_name(&role.id);
        for arn in
            role.statements.iter().filter(|s| s.actions() == ["sts:AssumeRole"]).flat_map(|s| s.resources())
        {
            let name = arn.rsplit("-${AWS::Region}-").next().unwrap();
            let trusted = theirs.iter().find(|role| {
                role.id.ends_with("Ec2Role") && rekindle_infra_tests::documents::file_name(&role.id) == name
            });
            let trust = &trusted.unwrap().trust[0];
            let callers = texts(&trust.body["Condition"]["ArnLike"]["aws:PrincipalArn"]);
            let path = format!(":role/rekindle/${{OrchestratorStack}}/{function}/*");
            assert!(callers.iter().any(|arn| arn.ends_with(&path)), "{function} is not trusted by {name}");
            assert_eq!(trust.condition("StringEquals", "sts:ExternalId"), ["${ExternalId}"]);
            let told = ours.resource(&format!("{}Function", role.id.strip_suffix("Role").unwrap())).unwrap();
            let told = &told.properties()["Environment"]["Variables"]["REKINDLE_CUSTOMER_ROLE"];
            assert_eq!(here.text(told).as_deref(), Some(arn), "{function} is told another role");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 6);
}

#[test]
fn the_outputs_are_those_of_0016() {
    let template = orchestrator();
    let outputs = template.section("Outputs");
    for name in [
        "ControlBucketName",
        "DataBucketName",
        "DataKeyArn",
        "TableName",
        "AgentApiUrl",
        "OperatorApiUrl",
        "RefreshImageStateMachineArn",
        "RecoverStateMachineArn",
        "InstanceRoleArn",
        "BackupRoleArn",
        "AlarmTopicArn",
    ] {
        assert!(outputs.get(name).is_some(), "{name}");
    }
}

/// `cargo xtask base-image` reads these of the customer's stack, whoever made it.
#[test]
fn a_base_image_finds_its_profile_and_its_network() {
    let template = customer();
    let profile = template.resource("BaseImageProfile").unwrap();
    assert_eq!(
        template.section("Outputs")["BaseImageProfileName"]["Value"],
        profile.properties()["InstanceProfileName"]
    );
    assert!(template.section("Outputs").get("Launch").is_some());
}
