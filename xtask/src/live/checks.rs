//! What is asked of an account.

mod ec2_policies;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use super::traces::Traces;
use crate::error::TaskError;
use crate::interruption::{self, Interruption};

const PATIENCE: Duration = Duration::from_secs(10 * 60);
const GLANCE: Duration = Duration::from_secs(3);

/// A small system that every account may start.
const SYSTEM: &str = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64";
const SMALLEST: &str = "t4g.nano";

/// One thing that the product rests on.
pub(super) struct Check {
    /// As `--check` takes it.
    pub(super) name: &'static str,
    /// What has to be so.
    pub(super) claim: &'static str,
    /// What asking costs at most.
    pub(super) cents: u32,
    /// Whether the emulators tell the truth about it.
    pub(super) emulators_answer: bool,
    /// Whether it asks about a stack that is there already.
    pub(super) needs_stack: bool,
    pub(super) ask: fn(&Setting<'_>) -> Result<Verdict, TaskError>,
}

/// Where a check is asked.
pub(super) struct Setting<'s> {
    pub(super) traces: &'s Traces<'s>,
    pub(super) stack: Option<&'s str>,
    pub(super) interruption: &'s Interruption,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    DoesNotHold(String),
    NotAnsweredHere(&'static str),
    CouldNotBeAsked(String),
}

impl Verdict {
    fn of(holds: bool, otherwise: impl Into<String>) -> Self {
        if holds { Self::Holds } else { Self::DoesNotHold(otherwise.into()) }
    }

    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Self::DoesNotHold(_) | Self::CouldNotBeAsked(_))
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Holds => "holds".to_owned(),
            Self::DoesNotHold(what) => format!("DOES NOT HOLD: {what}"),
            Self::NotAnsweredHere(why) => format!("not answered here: {why}"),
            Self::CouldNotBeAsked(why) => format!("could not be asked: {why}"),
        }
    }
}

pub(super) const CHECKS: [Check; 9] = [
    Check {
        name: "client-token",
        claim: "RunInstances gives the same instance for the same client token",
        cents: 1,
        emulators_answer: false,
        needs_stack: false,
        ask: client_token,
    },
    Check {
        name: "image-name",
        claim: "a second image of the same name is InvalidAMIName.Duplicate",
        cents: 2,
        emulators_answer: false,
        needs_stack: false,
        ask: image_name,
    },
    Check {
        name: "snapshot-tags",
        claim: "snapshots of an image are tagged when they are made",
        cents: 2,
        emulators_answer: false,
        needs_stack: false,
        ask: snapshot_tags,
    },
    Check {
        name: "power-off",
        claim: "an instance that powers itself off is stopped, and not terminated",
        cents: 1,
        emulators_answer: false,
        needs_stack: false,
        ask: power_off,
    },
    Check {
        name: "delete-twice",
        claim: "deleting a snapshot that is gone says that it is gone",
        cents: 1,
        emulators_answer: true,
        needs_stack: false,
        ask: delete_twice,
    },
    Check {
        name: "launch-permission",
        claim: "a new image is shared with nobody",
        cents: 1,
        // An image that is registered there has neither tags nor the snapshot that it was registered with.
        emulators_answer: false,
        needs_stack: false,
        ask: launch_permission,
    },
    Check {
        name: "wrapping-context",
        claim: "KMS opens an identity for its own machine only",
        cents: 1,
        emulators_answer: true,
        needs_stack: false,
        ask: wrapping_context,
    },
    Check {
        name: "instance-role",
        claim: "nobody but EC2 makes sessions of the instance role (--stack)",
        cents: 0,
        emulators_answer: false,
        needs_stack: true,
        ask: instance_role,
    },
    Check {
        name: "ec2-policies",
        claim: "the roles for EC2 allow their work, and no foreign image (--stack)",
        cents: 0,
        emulators_answer: false,
        needs_stack: true,
        ask: ec2_policies::ask,
    },
];

/// Of the command line.
pub(super) fn parser() -> PossibleValuesParser {
    PossibleValuesParser::new(CHECKS.iter().map(|check| check.name))
}

impl Setting<'_> {
    fn ask(&self, arguments: &[&str]) -> Result<Value, TaskError> {
        self.interruption.check()?;
        self.traces.aws().ask(arguments)
    }

    /// One field of the answer.
    fn word(&self, arguments: &[&str], field: &str) -> Result<String, TaskError> {
        let answer = self.ask(arguments)?;
        answer.pointer(field).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
            TaskError::CheckFailed(format!("the answer to `aws {}` has no {field}", arguments.join(" ")))
        })
    }

    /// Until a question is answered so.
    fn wait(&self, arguments: &[&str], field: &str, wanted: &str) -> Result<(), TaskError> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.ask(arguments)?.pointer(field).is_some_and(|found| found == wanted) {
                return Ok(());
            }
            interruption::pause(GLANCE);
        }
        Err(TaskError::CheckFailed(format!(
            "`aws {}` is not {wanted} after ten minutes",
            arguments.join(" ")
        )))
    }

    /// A small instance; the same one for the same token.
    fn start(&self, token: &str, more: &[&str]) -> Result<String, TaskError> {
        let image = self.word(&["ssm", "get-parameter", "--name", SYSTEM], "/Parameter/Value")?;
        let tags = self.traces.tagging(&["instance", "volume"]);
        let mut arguments = vec!["ec2", "run-instances", "--image-id", &image, "--instance-type", SMALLEST];
        arguments.extend(["--count", "1", "--client-token", token, "--tag-specifications", &tags]);
        arguments.extend(["--metadata-options", "HttpTokens=required"]);
        arguments.extend(more);
        self.word(&arguments, "/Instances/0/InstanceId")
    }

    fn wait_for_instance(&self, id: &str, state: &str) -> Result<(), TaskError> {
        let arguments = ["ec2", "describe-instances", "--instance-ids", id];
        // One that was only just started may not be listed yet.
        self.traces.aws().carry_out(&["ec2", "wait", "instance-exists", "--instance-ids", id])?;
        self.wait(&arguments, "/Reservations/0/Instances/0/State/Name", state)
    }

    fn token(&self, check: &str) -> String {
        format!("{check}-{}", self.traces.run())
    }

    pub(super) fn snapshot(&self) -> Result<String, TaskError> {
        let zones = ["ec2", "describe-availability-zones", "--filters", "Name=state,Values=available"];
        let zone = self.word(&zones, "/AvailabilityZones/0/ZoneName")?;
        let tags = self.traces.tagging(&["volume"]);
        let create = ["ec2", "create-volume", "--size", "1", "--availability-zone", &zone];
        let volume = self.word(&[&create[..], &["--tag-specifications", &tags]].concat(), "/VolumeId")?;
        self.wait(&["ec2", "describe-volumes", "--volume-ids", &volume], "/Volumes/0/State", "available")?;
        let tags = self.traces.tagging(&["snapshot"]);
        let create = ["ec2", "create-snapshot", "--volume-id", &volume, "--tag-specifications", &tags];
        let snapshot = self.word(&create, "/SnapshotId")?;
        let described = ["ec2", "describe-snapshots", "--snapshot-ids", &snapshot];
        self.wait(&described, "/Snapshots/0/State", "completed")?;
        Ok(snapshot)
    }
}

fn client_token(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    let token = setting.token("token");
    let (first, second) = (setting.start(&token, &[])?, setting.start(&token, &[])?);
    Ok(Verdict::of(first == second, format!("{first} and {second} have the same token")))
}

fn image_name(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    let instance = setting.start(&setting.token("name"), &[])?;
    setting.wait_for_instance(&instance, "running")?;
    let name = format!("rekindle-live-{}", setting.traces.run());
    let tags = setting.traces.tagging(&["image", "snapshot"]);
    let mut arguments = vec!["ec2", "create-image", "--instance-id", &instance, "--name", &name];
    arguments.extend(["--no-reboot", "--tag-specifications", &tags]);
    setting.ask(&arguments)?;
    Ok(match setting.traces.aws().attempt(&arguments)? {
        Ok(second) => Verdict::DoesNotHold(format!("{} has the same name", second["ImageId"])),
        Err(refusal) => Verdict::of(refusal.code() == "InvalidAMIName.Duplicate", refusal.0),
    })
}

fn snapshot_tags(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    let instance = setting.start(&setting.token("tags"), &[])?;
    setting.wait_for_instance(&instance, "running")?;
    let name = format!("rekindle-live-tags-{}", setting.traces.run());
    let tags = setting.traces.tagging(&["image", "snapshot"]);
    let mut arguments = vec!["ec2", "create-image", "--instance-id", &instance, "--name", &name];
    arguments.extend(["--no-reboot", "--tag-specifications", &tags]);
    let image = setting.word(&arguments, "/ImageId")?;
    setting.wait(&["ec2", "describe-images", "--image-ids", &image], "/Images/0/State", "available")?;
    let disk = "/Images/0/BlockDeviceMappings/0/Ebs/SnapshotId";
    let snapshot = setting.word(&["ec2", "describe-images", "--image-ids", &image], disk)?;
    let described = setting.ask(&["ec2", "describe-snapshots", "--snapshot-ids", &snapshot])?;
    let is_tagged = described["Snapshots"][0]["Tags"].to_string().contains(setting.traces.run());
    Ok(Verdict::of(is_tagged, format!("{snapshot} carries no tag of this run")))
}

fn power_off(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    let script = "#!/bin/sh\nsystemctl poweroff\n";
    let behaviour = ["--instance-initiated-shutdown-behavior", "stop", "--user-data", script];
    let instance = setting.start(&setting.token("off"), &behaviour)?;
    setting.wait_for_instance(&instance, "stopped")?;
    Ok(Verdict::Holds)
}

fn delete_twice(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    let snapshot = setting.snapshot()?;
    let arguments = ["ec2", "delete-snapshot", "--snapshot-id", &snapshot];
    setting.ask(&arguments)?;
    Ok(match setting.traces.aws().attempt(&arguments)? {
        Ok(_) => Verdict::DoesNotHold("the second time went as the first".to_owned()),
        Err(refusal) => Verdict::of(refusal.code() == "InvalidSnapshot.NotFound", refusal.0),
    })
}

fn launch_permission(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    let snapshot = setting.snapshot()?;
    let name = format!("rekindle-live-shared-{}", setting.traces.run());
    let disk = format!("DeviceName=/dev/xvda,Ebs={{SnapshotId={snapshot}}}");
    let tags = setting.traces.tagging(&["image"]);
    let mut arguments = vec!["ec2", "register-image", "--name", &name, "--root-device-name", "/dev/xvda"];
    arguments.extend(["--virtualization-type", "hvm", "--architecture", "arm64"]);
    arguments.extend(["--block-device-mappings", &disk, "--tag-specifications", &tags]);
    let image = setting.word(&arguments, "/ImageId")?;
    let asked = ["ec2", "describe-image-attribute", "--image-id", &image, "--attribute", "launchPermission"];
    let answer = setting.ask(&asked)?;
    let shared = answer["LaunchPermissions"].as_array().is_some_and(|list| !list.is_empty());
    Ok(Verdict::of(!shared, format!("{image} may be launched by {}", answer["LaunchPermissions"])))
}

/// With a key of its own: the customer's data key opens nothing for whoever runs this.
fn wrapping_context(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    // Tagged when it is made: a run that is killed right after that leaves no key that nobody finds.
    let tags = setting.traces.tags_of_a_key();
    let create = ["kms", "create-key", "--description", "rekindle live check", "--tags", &tags];
    let key = setting.word(&create, "/KeyMetadata/KeyId")?;
    let of = |machine: &str| format!("rekindle:machine=acme/orders/{machine}");
    let encrypt = ["kms", "encrypt", "--key-id", &key, "--plaintext", "bm90aGluZyBzZWNyZXQ="];
    let (own, other) = (of("database"), of("web"));
    let wrapped =
        setting.word(&[&encrypt[..], &["--encryption-context", &own]].concat(), "/CiphertextBlob")?;
    // In a file: versions of the `aws` command differ in how they read such bytes from the command line.
    let path = std::env::temp_dir().join(format!("rekindle-live-{}", setting.traces.run()));
    let wrapped = BASE64_STANDARD
        .decode(&wrapped)
        .map_err(|error| TaskError::CheckFailed(format!("KMS answered with no base64: {error}")))?;
    std::fs::write(&path, wrapped).map_err(|cause| TaskError::file(&path, cause))?;
    let verdict = opens_for(setting, &format!("fileb://{}", path.display()), &own, &other);
    let _ = std::fs::remove_file(&path);
    verdict
}

fn opens_for(setting: &Setting<'_>, wrapped: &str, own: &str, other: &str) -> Result<Verdict, TaskError> {
    let decrypt = ["kms", "decrypt", "--ciphertext-blob", wrapped, "--encryption-context"];
    setting.ask(&[&decrypt[..], &[own]].concat())?;
    Ok(match setting.traces.aws().attempt(&[&decrypt[..], &[other]].concat())? {
        Ok(_) => Verdict::DoesNotHold("another machine's context opened it".to_owned()),
        Err(refusal) => Verdict::of(refusal.code() == "InvalidCiphertextException", refusal.0),
    })
}

fn instance_role(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    let Some(stack) = setting.stack else {
        return Ok(Verdict::CouldNotBeAsked("whose role? Give --stack".to_owned()));
    };
    let outputs = crate::deploy::outputs(setting.traces.aws(), stack)?;
    let Some(role) = outputs.get("InstanceRoleArn") else {
        return Ok(Verdict::CouldNotBeAsked(format!("the stack {stack} names no InstanceRoleArn")));
    };
    // STS refuses a role that is not there with the same words.
    if let Some(reason) = is_missing(setting, role)? {
        return Ok(Verdict::CouldNotBeAsked(reason));
    }
    let session = ["--role-session-name", "i-0123456789abcdef0", "--query", "AssumedRoleUser"];
    let asked = [&["sts", "assume-role", "--role-arn", role][..], &session].concat();
    Ok(match setting.traces.aws().attempt(&asked)? {
        Ok(_) => Verdict::DoesNotHold(format!("{role} was assumed as another instance")),
        Err(refusal) => Verdict::of(refusal.code() == "AccessDenied", refusal.0),
    })
}

/// Why a refusal of this role would prove nothing, if there is a reason.
fn is_missing(setting: &Setting<'_>, role: &str) -> Result<Option<String>, TaskError> {
    let name = role.rsplit('/').next().unwrap_or(role);
    setting.interruption.check()?;
    Ok(match setting.traces.aws().attempt(&["iam", "get-role", "--role-name", name])? {
        Ok(found) if found["Role"]["Arn"] == role => None,
        Ok(_) => Some(format!("{role} is not in this account: ask with credentials of that one")),
        Err(refusal) => Some(format!("whether {role} is there cannot be seen: {}", refusal.0)),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use crate::aws::tests::Played;
    use crate::repository::Repository;

    const ROLE: &str = "arn:aws:iam::123456789012:role/rekindle/rekindle-eu-west-1-instance";

    fn asked_about_the_role(get_role: &str) -> (Verdict, Played) {
        let outputs = format!(
            r#"{{"Stacks":[{{"Outputs":[{{"OutputKey":"InstanceRoleArn","OutputValue":"{ROLE}"}}]}}]}}"#
        );
        let played = Played::answering(&format!(
            "*describe-stacks*) echo '{outputs}' ;; *get-role*) {get_role} ;; *assume-role*) refuse AccessDenied ;;"
        ));
        let repository = Repository::find().unwrap();
        let aws = played.aws(&repository);
        let traces = Traces::of_new_run(&aws).unwrap();
        let interruption = Interruption::watch().unwrap();
        let setting = Setting { traces: &traces, stack: Some("rekindle"), interruption: &interruption };
        (instance_role(&setting).unwrap(), played)
    }

    #[test]
    fn a_role_that_is_not_there_proves_nothing() {
        let there = format!(r#"echo '{{"Role":{{"Arn":"{ROLE}"}}}}'"#);
        let elsewhere = there.replace("123456789012", "210987654321");
        assert_eq!(asked_about_the_role(&there).0, Verdict::Holds);
        for answer in [&elsewhere, "refuse NoSuchEntity", "refuse AccessDenied"] {
            let (verdict, played) = asked_about_the_role(answer);
            assert!(matches!(verdict, Verdict::CouldNotBeAsked(_)), "{verdict:?}");
            assert_eq!(played.times("sts assume-role"), 0);
        }
    }
}
