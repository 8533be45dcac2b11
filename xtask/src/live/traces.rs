//! What the checks make, how it is marked, and how all of it is taken away.

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::error::TaskError;
use crate::random;

const TAG: &str = "rekindle:live";
const ALIASES: &str = "alias/rekindle-live-";

/// KMS keeps a key for so many days at least, free of charge.
const DAYS_UNTIL_A_KEY_IS_GONE: &str = "7";

const ALIVE: &str = "Name=instance-state-name,Values=pending,running,stopping,stopped";

/// Everything that one run has made, or every run.
pub(super) struct Traces<'a> {
    aws: &'a Aws<'a>,
    run: Option<String>,
}

impl<'a> Traces<'a> {
    /// A run that begins now.
    pub(super) fn of_new_run(aws: &'a Aws<'a>) -> Result<Self, TaskError> {
        Ok(Self { aws, run: Some(random::word()?) })
    }

    /// Whatever runs there have been.
    pub(super) fn of_every_run(aws: &'a Aws<'a>) -> Self {
        Self { aws, run: None }
    }

    pub(super) fn aws(&self) -> &'a Aws<'a> {
        self.aws
    }

    /// The word that marks this run.
    pub(super) fn run(&self) -> &str {
        self.run.as_deref().unwrap_or_default()
    }

    /// For `--tag-specifications`.
    pub(super) fn tagging(&self, kinds: &[&str]) -> String {
        let tags = json!([{"Key": TAG, "Value": self.run()}]);
        let all: Vec<Value> = kinds.iter().map(|kind| json!({"ResourceType": kind, "Tags": tags})).collect();
        json!(all).to_string()
    }

    /// The name of this run's key.
    pub(super) fn alias(&self) -> String {
        format!("{ALIASES}{}", self.run())
    }

    fn filter(&self) -> String {
        match &self.run {
            Some(run) => format!("Name=tag:{TAG},Values={run}"),
            None => format!("Name=tag-key,Values={TAG}"),
        }
    }

    fn ids(&self, arguments: &[&str]) -> Result<Vec<String>, TaskError> {
        let found = self.aws.ask(arguments)?;
        Ok(found.as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect())
    }

    /// Takes everything away; gives what would not go. Instances first, since they hold volumes; images before their
    /// snapshots.
    pub(super) fn remove(&self) -> Result<Vec<String>, TaskError> {
        let filter = self.filter();
        let mut left = Vec::new();
        let mut take = |ids: Vec<String>, command: &[&str]| -> Result<(), TaskError> {
            for id in ids {
                let arguments = [command, &[&id]].concat();
                if let Err(refusal) = self.aws.attempt(&arguments)?
                    && !refusal.code().ends_with(".NotFound")
                {
                    left.push(format!("{id} ({})", refusal.code()));
                }
            }
            Ok(())
        };
        let query = "Reservations[].Instances[].InstanceId";
        let instances =
            self.ids(&["ec2", "describe-instances", "--filters", &filter, ALIVE, "--query", query])?;
        take(instances, &["ec2", "terminate-instances", "--instance-ids"])?;
        let own_images = ["ec2", "describe-images", "--owners", "self", "--filters", &filter];
        let images = self.ids(&[&own_images[..], &["--query", "Images[].ImageId"]].concat())?;
        let disks = "Images[].BlockDeviceMappings[].Ebs.SnapshotId";
        let mut snapshots = self.ids(&[&own_images[..], &["--query", disks]].concat())?;
        take(images, &["ec2", "deregister-image", "--image-id"])?;
        let own_snapshots = ["ec2", "describe-snapshots", "--owner-ids", "self", "--filters", &filter];
        snapshots.extend(self.ids(&[&own_snapshots[..], &["--query", "Snapshots[].SnapshotId"]].concat())?);
        snapshots.sort();
        snapshots.dedup();
        take(snapshots, &["ec2", "delete-snapshot", "--snapshot-id"])?;
        // Volumes of instances go with them.
        let free = "Name=status,Values=available";
        let query = "Volumes[].VolumeId";
        let volumes = self.ids(&["ec2", "describe-volumes", "--filters", &filter, free, "--query", query])?;
        take(volumes, &["ec2", "delete-volume", "--volume-id"])?;
        self.remove_keys(&mut left)?;
        Ok(left)
    }

    fn remove_keys(&self, left: &mut Vec<String>) -> Result<(), TaskError> {
        let beginning = self.run.as_ref().map_or_else(|| ALIASES.to_owned(), |_| self.alias());
        let answer = self.aws.ask(&["kms", "list-aliases"])?;
        for alias in answer["Aliases"].as_array().into_iter().flatten() {
            let (Some(name), Some(key)) = (alias["AliasName"].as_str(), alias["TargetKeyId"].as_str()) else {
                continue;
            };
            if name.starts_with(&beginning) {
                left.extend(self.remove_key(name, key)?);
            }
        }
        Ok(())
    }

    /// The alias last: by it the key is found again.
    fn remove_key(&self, name: &str, key: &str) -> Result<Option<String>, TaskError> {
        let days = ["--pending-window-in-days", DAYS_UNTIL_A_KEY_IS_GONE];
        let scheduling = [&["kms", "schedule-key-deletion", "--key-id", key][..], &days].concat();
        match self.aws.attempt(&scheduling)? {
            Err(refusal) if refusal.code() != "KMSInvalidStateException" => {
                Ok(Some(format!("the key {key} ({})", refusal.code())))
            }
            _ => {
                let gone = self.aws.attempt(&["kms", "delete-alias", "--alias-name", name])?;
                Ok(gone.err().map(|refusal| format!("{name} ({})", refusal.code())))
            }
        }
    }
}
