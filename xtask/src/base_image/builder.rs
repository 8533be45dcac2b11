//! The instance that becomes the image: started, and waited for.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::image::{Label, NAME_TAG};
use super::place::Place;
use crate::aws::Aws;
use crate::aws::tagged::Tagged;
use crate::error::TaskError;
use crate::interruption::{self, Interruption};
use crate::remnant::Remnant;
use crate::speech;

/// Boot, fetch, lay down and power off take two or three minutes.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
const GLANCE: Duration = Duration::from_secs(3);

/// The objects of a run, all of which are removed when it ends.
#[derive(Debug, Clone)]
pub(super) struct Traces {
    pub(super) bucket: String,
    pub(super) folder: String,
}

impl Traces {
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// Uploads what the builder lays down.
pub(super) fn upload(aws: &Aws<'_>, traces: &Traces, bundle: &Path) -> Result<(), TaskError> {
    let (key, body) = (traces.key("bundle.tar"), bundle.display().to_string());
    aws.ask(&["s3api", "put-object", "--bucket", &traces.bucket, "--key", &key, "--body", &body]).map(drop)
}

/// What is started.
pub(super) struct Start<'s> {
    pub(super) place: &'s Place,
    pub(super) parent: &'s str,
    pub(super) instance_type: &'s str,
    pub(super) user_data: &'s Path,
    pub(super) label: &'s Label,
}

/// Starts it from the stack's launch template, and gives its id. Without a key pair: nobody logs in to it.
pub(super) fn start(aws: &Aws<'_>, start: &Start<'_>) -> Result<String, TaskError> {
    let Start { place, .. } = start;
    let template =
        format!("LaunchTemplateId={},Version={}", place.launch_template, place.launch_template_version);
    let profile = format!("Name={}", place.profile);
    let user_data = format!("file://{}", start.user_data.display());
    let tags = start.label.on_builders();
    let mut arguments = vec!["ec2", "run-instances", "--count", "1", "--client-token", &start.label.run];
    arguments.extend(["--launch-template", &template, "--image-id", start.parent]);
    arguments.extend(["--instance-type", start.instance_type, "--iam-instance-profile", &profile]);
    arguments.extend(["--subnet-id", &place.subnet, "--security-group-ids", &place.security_group]);
    arguments.extend(["--instance-initiated-shutdown-behavior", "stop", "--user-data", &user_data]);
    arguments.extend(["--tag-specifications", &tags]);
    let answer = aws.ask(&arguments)?;
    answer["Instances"][0]["InstanceId"].as_str().map(str::to_owned).ok_or_else(|| {
        TaskError::CheckFailed(
            "EC2 started an instance and did not name it; it is looked for by its tag".to_owned(),
        )
    })
}

/// What became of the builder so far.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    Working,
    Built,
    Failed(String),
}

/// A stopped instance alone proves nothing: anybody may have stopped it half-way. It has to have said that it is done.
fn judge(state: &str, answer: Option<&str>, sha256: &str) -> Progress {
    let has_ended = ["stopped", "shutting-down", "terminated"].contains(&state);
    match answer {
        Some(answer) if answer == format!("built {sha256}") => match state {
            "stopped" => Progress::Built,
            _ if has_ended => Progress::Failed("it was terminated before an image was made of it".to_owned()),
            _ => Progress::Working,
        },
        Some(answer) => {
            Progress::Failed(format!("it says: {}", answer.chars().take(500).collect::<String>()))
        }
        None if has_ended => Progress::Failed(format!("it is {state}, and did not say that it was done")),
        None => Progress::Working,
    }
}

/// Waits until the builder has done everything and stopped.
pub(super) fn wait(
    aws: &Aws<'_>,
    id: &str,
    traces: &Traces,
    sha256: &str,
    interruption: &Interruption,
) -> Result<(), TaskError> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        interruption.check()?;
        // In this order: what stopped has answered before.
        let state = state(aws, id)?;
        let answer = read_answer(aws, traces)?;
        match judge(&state, answer.as_deref(), sha256) {
            Progress::Built => return Ok(()),
            Progress::Working => interruption::pause(GLANCE),
            Progress::Failed(reason) => return Err(failed(id, &reason)),
        }
    }
    say_console(aws, id);
    Err(failed(
        id,
        "it did not answer within 20 minutes. Can the stack's first isolated subnet reach S3 on port 443, and does \
         the parent image have cloud-init, systemd and the `aws` command?",
    ))
}

/// Sees that every disk is encrypted with the key of the stack's disks, as the snapshots of it will be.
pub(super) fn check_disks(aws: &Aws<'_>, id: &str, disk_key: &str) -> Result<(), TaskError> {
    let query = "Reservations[].Instances[].BlockDeviceMappings[].Ebs.VolumeId";
    let disks = aws.ask(&["ec2", "describe-instances", "--instance-ids", id, "--query", query])?;
    let mut arguments = vec!["ec2", "describe-volumes", "--volume-ids"];
    arguments.extend(disks.as_array().into_iter().flatten().filter_map(Value::as_str));
    let answer = aws.ask(&arguments)?;
    let volumes = answer["Volumes"].as_array().cloned().unwrap_or_default();
    match not_encrypted(&volumes, disk_key) {
        Some(reason) => Err(failed(id, &reason)),
        None => Ok(()),
    }
}

/// With another key a refresh would copy the whole disk each time, and the orchestrator's launches are refused besides.
fn not_encrypted(volumes: &[Value], disk_key: &str) -> Option<String> {
    if volumes.is_empty() {
        return Some("it has no disk".to_owned());
    }
    let is_fine = |volume: &&Value| volume["Encrypted"] == true && volume["KmsKeyId"] == disk_key;
    let bad = volumes.iter().find(|volume| !is_fine(volume))?;
    Some(format!("its disk {} is not encrypted with {disk_key}", bad["VolumeId"]))
}

fn failed(id: &str, reason: &str) -> TaskError {
    TaskError::CheckFailed(format!("the builder {id} made no base image: {reason}"))
}

/// One that is not listed yet was only just started.
fn state(aws: &Aws<'_>, id: &str) -> Result<String, TaskError> {
    match aws.attempt(&["ec2", "describe-instances", "--instance-ids", id])? {
        Ok(answer) => Ok(answer["Reservations"][0]["Instances"][0]["State"]["Name"]
            .as_str()
            .unwrap_or("pending")
            .to_owned()),
        Err(refusal) if refusal.code() == "InvalidInstanceID.NotFound" => Ok("pending".to_owned()),
        Err(refusal) => Err(refusal.while_doing("looking at the builder")),
    }
}

fn read_answer(aws: &Aws<'_>, traces: &Traces) -> Result<Option<String>, TaskError> {
    let place = format!("s3://{}/{}", traces.bucket, traces.key("answer"));
    match aws.attempt(&["s3", "cp", "--only-show-errors", &place, "-"])? {
        Ok(Value::String(text)) => Ok(Some(text)),
        Ok(_) => Ok(Some("something that is not text".to_owned())),
        Err(refusal) if refusal.code() == "404" => Ok(None),
        Err(refusal) => Err(refusal.while_doing("reading the builder's answer")),
    }
}

/// What the script says of itself; nothing where there is no console.
fn say_console(aws: &Aws<'_>, id: &str) {
    let console = aws.attempt(&["ec2", "get-console-output", "--instance-id", id, "--latest"]);
    let Ok(Ok(answer)) = console else { return };
    let lines = answer["Output"].as_str().unwrap_or_default().lines();
    lines.filter(|line| line.contains("rekindle-base-image:")).for_each(speech::progress);
}

/// Builders of the same image that another run has started and not ended.
pub(super) fn others(aws: &Aws<'_>, name: &str) -> Result<Vec<String>, TaskError> {
    Tagged::with(aws, NAME_TAG, name).instances()
}

/// Removes bundle and answer; gives what may be left.
pub(super) fn remove_objects(aws: &Aws<'_>, traces: &Traces) -> Vec<Remnant> {
    let remove = |name: &str| {
        let (bucket, key) = (traces.bucket.as_str(), traces.key(name));
        let command = ["s3api", "delete-object", "--bucket", bucket, "--key", &key];
        aws.take_away(&format!("the object s3://{bucket}/{key}"), &command)
    };
    ["bundle.tar", "answer"].into_iter().filter_map(remove).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_disk_without_the_key_of_the_disks_is_found() {
        let volume = |encrypted: bool, key: &str| json!({"Encrypted": encrypted, "KmsKeyId": key, "VolumeId": "vol-1"});
        assert_eq!(not_encrypted(&[volume(true, "k")], "k"), None);
        for bad in [vec![], vec![volume(false, "k")], vec![volume(true, "k"), volume(true, "other")]] {
            assert!(not_encrypted(&bad, "k").is_some(), "{bad:?}");
        }
    }

    #[test]
    fn only_a_builder_that_stopped_and_said_so_has_built() {
        let judged = |state: &str, answer: Option<&str>| judge(state, answer, "abc");
        for state in ["pending", "running", "stopping"] {
            assert_eq!(judged(state, None), Progress::Working);
            assert_eq!(judged(state, Some("built abc")), Progress::Working);
        }
        assert_eq!(judged("stopped", Some("built abc")), Progress::Built);
        for (state, answer) in [
            ("stopped", None),
            ("terminated", None),
            ("terminated", Some("built abc")),
            ("stopped", Some("built another")),
            ("running", Some("failed while checking the bundle: x")),
            ("stopped", Some("")),
        ] {
            assert!(matches!(judged(state, answer), Progress::Failed(_)), "{state} {answer:?}");
        }
    }
}
