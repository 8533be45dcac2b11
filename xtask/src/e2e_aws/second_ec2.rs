//! Two emulators of EC2: the one in which CloudFormation makes launch templates and security groups, and the one that
//! functions call. What the stack made in the first is made in the second, and functions are told of it.

use serde_json::Value;

use crate::aws::Aws;
use crate::error::TaskError;

/// The variable that names launch templates and networks.
const LAUNCH: &str = "REKINDLE_LAUNCH";

/// Makes the launch templates of a stack in the second EC2, and tells the stack's functions their ids.
pub(super) fn carry_over(aws: &Aws<'_>, first_ec2: &str, stack: &str) -> Result<(), TaskError> {
    let listed = aws.ask(&["lambda", "list-functions"])?;
    let functions = listed["Functions"].as_array().cloned().unwrap_or_default();
    let told = functions.iter().filter(|function| {
        function["FunctionName"].as_str().is_some_and(|name| name.starts_with(&format!("{stack}-")))
            && function["Environment"]["Variables"][LAUNCH].is_string()
    });
    let mut made: Option<String> = None;
    for function in told {
        let launch = match &made {
            Some(launch) => launch.clone(),
            None => second_launch(aws, first_ec2, &function["Environment"]["Variables"][LAUNCH])?,
        };
        tell(aws, function, &launch)?;
        made = Some(launch);
    }
    Ok(())
}

fn second_launch(aws: &Aws<'_>, first_ec2: &str, launch: &Value) -> Result<String, TaskError> {
    let unreadable = |what: &str| TaskError::CheckFailed(format!("{LAUNCH} cannot be read: {what}"));
    let text = launch.as_str().unwrap_or_default();
    let mut launch: Value = serde_json::from_str(text).map_err(|error| unreadable(&error.to_string()))?;
    for template in ["builder_launch_template", "replica_launch_template"] {
        let id = launch[template]["id"].as_str().ok_or_else(|| unreadable(template))?.to_owned();
        launch[template] = second_template(aws, first_ec2, &id)?;
    }
    let groups = aws.ask(&["ec2", "describe-security-groups", "--group-names", "default"])?;
    for network in ["isolated", "production"] {
        launch[network]["security_group"] = groups["SecurityGroups"][0]["GroupId"].clone();
    }
    Ok(launch.to_string())
}

fn second_template(aws: &Aws<'_>, first_ec2: &str, id: &str) -> Result<Value, TaskError> {
    let described = aws.ask(&[
        "ec2",
        "describe-launch-template-versions",
        "--endpoint-url",
        first_ec2,
        "--launch-template-id",
        id,
    ])?;
    let mut data = described["LaunchTemplateVersions"][0]["LaunchTemplateData"].clone();
    if let Some(options) = data["MetadataOptions"].as_object_mut() {
        options.remove("State"); // An answer has it, a request must not.
    }
    if let Some(data) = data.as_object_mut() {
        data.remove("BlockDeviceMappings"); // This EC2 wants a size, where AWS takes the image's.
    }
    let data = data.to_string();
    let made = aws.ask(&[
        "ec2",
        "create-launch-template",
        "--launch-template-name",
        id,
        "--launch-template-data",
        &data,
    ])?;
    Ok(serde_json::json!({"id": made["LaunchTemplate"]["LaunchTemplateId"], "version": "1"}))
}

fn tell(aws: &Aws<'_>, function: &Value, launch: &str) -> Result<(), TaskError> {
    let mut variables = function["Environment"]["Variables"].clone();
    variables[LAUNCH] = launch.into();
    let name = function["FunctionName"].as_str().unwrap_or_default();
    let environment = serde_json::json!({ "Variables": variables }).to_string();
    aws.ask(&[
        "lambda",
        "update-function-configuration",
        "--function-name",
        name,
        "--environment",
        &environment,
    ])?;
    Ok(())
}
