//! The image: found by its name, made, and waited for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::aws::tagged::snapshots_of;
use crate::aws::{Aws, Refusal};
use crate::error::TaskError;
use crate::interruption::{self, Interruption};

/// A first snapshot of a small system takes minutes.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
const GLANCE: Duration = Duration::from_secs(3);

/// What image and snapshots are known by.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) machine: String,
    pub(super) stack: String,
    /// A random word: what was made by this run is known by it, and may be removed.
    pub(super) run: String,
}

/// The tag that holds a run's word.
pub(super) const RUN_TAG: &str = "rekindle:base-image-run";

/// The tag that holds an image's name, on everything that it was made with.
pub(super) const NAME_TAG: &str = "rekindle:base-image";

impl Label {
    /// Of everything that a run makes.
    fn tags(&self) -> Vec<Value> {
        [("rekindle:stack", &self.stack), (NAME_TAG, &self.name), (RUN_TAG, &self.run)]
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .into()
    }

    /// Of images and snapshots: the orchestrator may start only what carries the machine.
    fn tags_of_images(&self) -> Vec<Value> {
        let machine = json!({"Key": "rekindle:machine", "Value": self.machine});
        self.tags().into_iter().chain([machine]).collect()
    }

    /// For `--tag-specifications` of a launch.
    pub(super) fn on_builders(&self) -> String {
        specifications(&["instance", "volume"], &self.tags())
    }
}

fn specifications(kinds: &[&str], tags: &[Value]) -> String {
    let all: Vec<Value> = kinds.iter().map(|kind| json!({"ResourceType": kind, "Tags": tags})).collect();
    json!(all).to_string()
}

/// How far an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    Pending,
    Available,
    Failed(String),
}

fn stage(image: &Value) -> Stage {
    match image["State"].as_str().unwrap_or("pending") {
        "available" => Stage::Available,
        // Not listed yet is not failed: EC2 tells of what it made a little later.
        "pending" => Stage::Pending,
        other => {
            let reason = image["StateReason"]["Message"].as_str().unwrap_or("EC2 does not say why");
            Stage::Failed(format!("{other}: {reason}"))
        }
    }
}

/// The image of this name in this account.
pub(super) fn find(aws: &Aws<'_>, name: &str) -> Result<Option<String>, TaskError> {
    let filter = format!("Name=name,Values={name}");
    let answer = aws.ask(&["ec2", "describe-images", "--owners", "self", "--filters", &filter])?;
    Ok(answer["Images"][0]["ImageId"].as_str().map(str::to_owned))
}

/// Begins to make it of a stopped instance. EC2 has no token for this call; the name is what makes it happen once.
pub(super) fn create(aws: &Aws<'_>, instance: &str, label: &Label) -> Result<String, TaskError> {
    let tags = label.tags_of_images();
    let description = format!("Rekindle base image of {}", label.machine);
    let create = |kinds: &[&str]| {
        let specifications = specifications(kinds, &tags);
        let mut arguments = vec!["ec2", "create-image", "--instance-id", instance, "--name", &label.name];
        arguments.extend(["--description", &description, "--no-reboot"]);
        arguments.extend(["--tag-specifications", &specifications]);
        aws.attempt(&arguments)
    };
    let mut answer = create(&["image", "snapshot"])?;
    // As shared/cloud-aws has it: some places that speak EC2's language cannot tag snapshots at once.
    if answer.as_ref().is_err_and(refuses_snapshot_tags) {
        answer = create(&["image"])?;
    }
    match answer {
        Ok(answer) => answer["ImageId"].as_str().map(str::to_owned).ok_or_else(|| {
            TaskError::CheckFailed(
                "EC2 made an image and did not name it; see what carries its tag".to_owned(),
            )
        }),
        Err(refusal) if refusal.code() == "InvalidAMIName.Duplicate" => {
            find(aws, &label.name)?.ok_or_else(|| refusal.while_doing("making the image"))
        }
        Err(refusal) => Err(refusal.while_doing("making the image")),
    }
}

/// Should it be an accident of EC2's, the name still allows only one image.
fn refuses_snapshot_tags(refusal: &Refusal) -> bool {
    let parts = ["NotImplemented", "not a valid taggable resource type", "500 Internal Server Error"];
    parts.iter().any(|part| refusal.0.contains(part))
}

/// Waits until instances can be started from it, and sees that its snapshots are tagged.
pub(super) fn wait(
    aws: &Aws<'_>,
    id: &str,
    label: &Label,
    interruption: &Interruption,
) -> Result<(), TaskError> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        interruption.check()?;
        let image = describe(aws, id)?;
        match stage(&image) {
            Stage::Available => return finish(aws, &image, label),
            Stage::Failed(reason) => {
                return Err(TaskError::CheckFailed(format!(
                    "the image {id} is {reason}. If it stays, `aws ec2 deregister-image --image-id {id}`, and try again"
                )));
            }
            Stage::Pending => interruption::pause(GLANCE),
        }
    }
    Err(TaskError::CheckFailed(format!("the image {id} is not available after an hour")))
}

/// Null while it is not listed yet.
fn describe(aws: &Aws<'_>, id: &str) -> Result<Value, TaskError> {
    match aws.attempt(&["ec2", "describe-images", "--image-ids", id])? {
        Ok(answer) => Ok(answer["Images"][0].clone()),
        Err(refusal) if refusal.code() == "InvalidAMIID.NotFound" => Ok(Value::Null),
        Err(refusal) => Err(refusal.while_doing("looking at the image")),
    }
}

fn finish(aws: &Aws<'_>, image: &Value, label: &Label) -> Result<(), TaskError> {
    let snapshots = snapshots_of(image);
    if snapshots.is_empty() {
        return Err(TaskError::CheckFailed("the image has no snapshot".to_owned()));
    }
    let mut arguments = vec!["ec2", "describe-snapshots", "--snapshot-ids"];
    arguments.extend(snapshots.iter().map(String::as_str));
    let answer = aws.ask(&arguments)?;
    let described = answer["Snapshots"].as_array().cloned().unwrap_or_default();
    let untagged = described.iter().filter(|snapshot| !is_tagged(snapshot, "rekindle:machine"));
    for id in untagged.filter_map(|snapshot| snapshot["SnapshotId"].as_str()) {
        let tags = json!(label.tags_of_images()).to_string();
        aws.ask(&["ec2", "create-tags", "--resources", id, "--tags", &tags])?;
    }
    Ok(())
}

fn is_tagged(snapshot: &Value, key: &str) -> bool {
    snapshot["Tags"].as_array().into_iter().flatten().any(|tag| tag["Key"] == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_not_listed_yet_is_waited_for_and_one_that_failed_is_not() {
        assert_eq!(stage(&Value::Null), Stage::Pending);
        assert_eq!(stage(&json!({"State": "available"})), Stage::Available);
        let failed = stage(&json!({"State": "failed", "StateReason": {"Message": "no such volume"}}));
        assert_eq!(failed, Stage::Failed("failed: no such volume".to_owned()));
    }

    #[test]
    fn images_carry_the_machine_and_builders_do_not() {
        let word = str::to_owned;
        let label = Label { name: word("n"), machine: word("a/b/c"), stack: word("s"), run: word("r") };
        let of_machine = json!({"Key": "rekindle:machine", "Value": "a/b/c"});
        assert!(label.tags_of_images().contains(&of_machine) && !label.tags().contains(&of_machine));
        assert!(
            label
                .on_builders()
                .starts_with(r#"[{"ResourceType":"instance","Tags":[{"Key":"rekindle:stack","#)
        );
    }
}
