//! Where the image is made: what the customer's stack says of it, and the system that it is made from.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::aws::Aws;
use crate::deploy::{self, Outputs};
use crate::error::TaskError;
use crate::package::build::Architecture;

/// What instances of the stack are started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The name in `rekindle:stack`.
    pub(super) stack: String,
    /// The instance profile of builders of base images.
    pub(super) profile: String,
    /// The launch template of builders: encryption, metadata options, shutdown behaviour.
    pub(super) launch_template: String,
    pub(super) launch_template_version: String,
    pub(super) security_group: String,
    pub(super) subnet: String,
    /// The device whose encryption the launch template demands, and with which key.
    pub(super) root_device: String,
    pub(super) disk_key: String,
    pub(super) outputs: Outputs,
}

/// Reads the stack, or the customer's part that is nested in it.
pub(super) fn of_stack(aws: &Aws<'_>, stack: &str, region: &str) -> Result<Place, TaskError> {
    let outputs = customers_outputs(aws, stack)?;
    let lacking = |what: &str| {
        TaskError::Missing(format!(
            "the stack {stack} has no {what}: is it older than this command? `cargo xtask deploy --stack {stack}` brings it \
             up to date. In an account of the customer's own it is the stack of infra/customer-account.yaml"
        ))
    };
    let launch = outputs.get("Launch").ok_or_else(|| lacking("output Launch"))?;
    let launch: Value = serde_json::from_str(launch).map_err(|_| lacking("readable output Launch"))?;
    let profile =
        outputs.get("BaseImageProfileName").ok_or_else(|| lacking("output BaseImageProfileName"))?;
    let word = |value: &Value, what: &str| value.as_str().map(str::to_owned).ok_or_else(|| lacking(what));
    let isolated = &launch["isolated"];
    let subnet = isolated["subnets"].as_object().and_then(|subnets| subnets.values().next());
    let template = &launch["builder_launch_template"];
    let launch_template = word(&template["id"], "launch template")?;
    let launch_template_version = word(&template["version"], "version of its launch template")?;
    let (root_device, disk_key) = encrypted_root(aws, &launch_template, &launch_template_version)?;
    Ok(Place {
        stack: profile.strip_suffix(&format!("-{region}-base-image")).unwrap_or(stack).to_owned(),
        profile: profile.clone(),
        launch_template,
        launch_template_version,
        security_group: word(&isolated["security_group"], "isolated security group")?,
        subnet: word(subnet.unwrap_or(&Value::Null), "isolated subnet")?,
        root_device,
        disk_key,
        outputs,
    })
}

/// With those of the stack around it, where there is one: it knows the agent API.
fn customers_outputs(aws: &Aws<'_>, stack: &str) -> Result<Outputs, TaskError> {
    let mut outputs = deploy::outputs(aws, stack)?;
    if outputs.contains_key("Launch") {
        return Ok(outputs);
    }
    let answer = aws.ask(&["cloudformation", "list-stack-resources", "--stack-name", stack])?;
    for resource in answer["StackResourceSummaries"].as_array().into_iter().flatten() {
        if let ("AWS::CloudFormation::Stack", Some(nested)) =
            (resource["ResourceType"].as_str().unwrap_or_default(), resource["PhysicalResourceId"].as_str())
        {
            outputs.extend(deploy::outputs(aws, nested)?);
        }
    }
    Ok(outputs)
}

fn encrypted_root(aws: &Aws<'_>, template: &str, version: &str) -> Result<(String, String), TaskError> {
    let answer = aws.ask(&[
        "ec2",
        "describe-launch-template-versions",
        "--launch-template-id",
        template,
        "--versions",
        version,
    ])?;
    let root = &answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]["BlockDeviceMappings"][0];
    match (root["DeviceName"].as_str(), root["Ebs"]["KmsKeyId"].as_str()) {
        (Some(device), Some(key)) => Ok((device.to_owned(), key.to_owned())),
        _ => Err(TaskError::CheckFailed(format!(
            "the launch template {template} does not encrypt its root volume: it is not that of infra/customer-account.yaml"
        ))),
    }
}

/// The system that the image is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) architecture: Architecture,
}

/// An image's id, or the public parameter of Systems Manager that names the newest one.
pub(super) fn parent(aws: &Aws<'_>, wanted: &str, place: &Place) -> Result<Parent, TaskError> {
    let id = if wanted.starts_with('/') { named_by_parameter(aws, wanted)? } else { wanted.to_owned() };
    let answer = aws.ask(&["ec2", "describe-images", "--image-ids", &id])?;
    let image = &answer["Images"][0];
    if let Some(reason) = unsuitable(image, &place.root_device) {
        return Err(TaskError::CheckFailed(format!(
            "the image {id} cannot be made into a base image: {reason}"
        )));
    }
    let architecture =
        if image["Architecture"] == "arm64" { Architecture::Arm64 } else { Architecture::X86_64 };
    Ok(Parent { id, name: image["Name"].as_str().unwrap_or_default().to_owned(), architecture })
}

fn named_by_parameter(aws: &Aws<'_>, name: &str) -> Result<String, TaskError> {
    let answer = aws.ask(&["ssm", "get-parameter", "--name", name])?;
    match answer["Parameter"]["Value"].as_str() {
        Some(id) if id.starts_with("ami-") => Ok(id.to_owned()),
        _ => Err(TaskError::CheckFailed(format!("the parameter {name} names no image"))),
    }
}

/// Why not, if there is a reason.
pub(super) fn unsuitable(image: &Value, root_device: &str) -> Option<String> {
    let word = |name: &str| image[name].as_str().unwrap_or_default().to_owned();
    if image.is_null() || word("State") != "available" {
        return Some("it is not available to this account in this region".to_owned());
    }
    if word("RootDeviceType") != "ebs" || word("VirtualizationType") != "hvm" {
        return Some("it has no root volume on EBS, or is not of the type hvm".to_owned());
    }
    if !["arm64", "x86_64"].contains(&word("Architecture").as_str()) {
        return Some(format!("no agent runs on {}", word("Architecture")));
    }
    if word("Platform") == "windows" {
        return Some("the agent runs on Linux".to_owned());
    }
    if word("RootDeviceName") != root_device {
        return Some(format!(
            "its root device is {}, and the stack encrypts {root_device}; set the stack's parameter RootDeviceName",
            word("RootDeviceName")
        ));
    }
    let disks = image["BlockDeviceMappings"].as_array().into_iter().flatten();
    let others = disks.filter(|disk| disk["Ebs"].is_object() && disk["DeviceName"] != root_device).count();
    (others > 0)
        .then(|| "it has more than one volume, and only the root volume would be encrypted".to_owned())
}

/// The processor that a program was built for.
pub(super) fn architecture_of(program: &Path) -> Result<Architecture, TaskError> {
    let mut head = [0_u8; 20];
    File::open(program)
        .and_then(|mut file| file.read_exact(&mut head))
        .map_err(|cause| TaskError::file(program, cause))?;
    // The field e_machine of an ELF file.
    match (&head[..4], head[18]) {
        (b"\x7fELF", 0x3e) => Ok(Architecture::X86_64),
        (b"\x7fELF", 0xb7) => Ok(Architecture::Arm64),
        _ => Err(TaskError::CheckFailed(format!("{} is no program for arm64 or x86-64", program.display()))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use serde_json::json;

    fn image() -> Value {
        json!({
            "State": "available", "RootDeviceType": "ebs", "VirtualizationType": "hvm", "Architecture": "arm64",
            "RootDeviceName": "/dev/xvda",
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {}}, {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}]
        })
    }

    #[test]
    fn a_parent_has_one_volume_at_the_place_that_is_encrypted() {
        assert_eq!(unsuitable(&image(), "/dev/xvda"), None);
        assert!(unsuitable(&image(), "/dev/sda1").unwrap().contains("RootDeviceName"));
        for (name, value) in [
            ("State", json!("pending")),
            ("RootDeviceType", json!("instance-store")),
            ("VirtualizationType", json!("paravirtual")),
            ("Architecture", json!("i386")),
            ("Platform", json!("windows")),
            (
                "BlockDeviceMappings",
                json!([{"DeviceName": "/dev/xvda", "Ebs": {}}, {"DeviceName": "/dev/sdb", "Ebs": {}}]),
            ),
        ] {
            let mut image = image();
            image[name] = value;
            assert!(unsuitable(&image, "/dev/xvda").is_some(), "{name}");
        }
        assert!(unsuitable(&Value::Null, "/dev/xvda").is_some());
    }

    #[test]
    fn a_program_tells_its_processor() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(architecture_of(&own).unwrap(), Architecture::of_this_machine());
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/bin/sh\necho this is not the agent\n").unwrap();
        assert!(architecture_of(&script).is_err());
    }
}
