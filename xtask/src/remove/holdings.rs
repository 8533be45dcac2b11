//! What a stack holds that cannot be made again.

use std::fmt;

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::error::TaskError;
use crate::repository::Repository;
use crate::speech;

/// How many objects one request deletes.
const AT_ONCE: &str = "1000";

/// Something that outlives its stack.
pub(super) enum Holding {
    Bucket(String),
    Table(String),
    Key(String),
    /// A stack within the stack: the customer's part.
    Stack(String),
}

impl fmt::Display for Holding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(name) => write!(formatter, "bucket {name}, with every version of every object"),
            Self::Table(name) => write!(formatter, "table {name}, the register"),
            Self::Key(id) => {
                write!(formatter, "key {id}; what is encrypted with it is readable only with it")
            }
            Self::Stack(id) => write!(formatter, "stack {id}: roles, security groups, launch templates"),
        }
    }
}

/// Of the stack and of those within it, in the order in which they can be deleted.
pub(super) fn of_stack(aws: &Aws<'_>, stack: &str) -> Result<Vec<Holding>, TaskError> {
    let answer = aws.ask(&["cloudformation", "list-stack-resources", "--stack-name", stack])?;
    let mut holdings = Vec::new();
    let resources = answer["StackResourceSummaries"].as_array().into_iter().flatten();
    for resource in resources.filter(|resource| resource["ResourceStatus"] != "DELETE_COMPLETE") {
        let id = resource["PhysicalResourceId"].as_str().unwrap_or_default().to_owned();
        match resource["ResourceType"].as_str() {
            Some("AWS::S3::Bucket") => holdings.push(Holding::Bucket(id)),
            Some("AWS::DynamoDB::Table") => holdings.push(Holding::Table(id)),
            Some("AWS::KMS::Key") => holdings.push(Holding::Key(id)),
            Some("AWS::CloudFormation::Stack") => {
                holdings.extend(of_stack(aws, &id)?);
                holdings.push(Holding::Stack(id));
            }
            _ => {}
        }
    }
    Ok(holdings)
}

impl Holding {
    /// Whether it is a stack, which can only go when the stack around it is gone.
    pub(super) fn is_stack(&self) -> bool {
        matches!(self, Self::Stack(_))
    }

    /// Whether it is still there: a removal that was broken off is carried on by another one.
    fn exists(&self, aws: &Aws<'_>) -> bool {
        match self {
            Self::Bucket(name) => aws.succeeds(&["s3api", "head-bucket", "--bucket", name]),
            Self::Table(name) => aws.succeeds(&["dynamodb", "describe-table", "--table-name", name]),
            Self::Key(id) => {
                let described = aws.ask(&["kms", "describe-key", "--key-id", id]);
                described.is_ok_and(|key| key["KeyMetadata"]["DeletionDate"].is_null())
            }
            Self::Stack(id) => aws.succeeds(&["cloudformation", "describe-stacks", "--stack-name", id]),
        }
    }

    /// Deletes it with all that is in it.
    pub(super) fn delete(&self, repository: &Repository, aws: &Aws<'_>) -> Result<(), TaskError> {
        if !self.exists(aws) {
            return Ok(());
        }
        match self {
            Self::Bucket(name) => {
                // The data bucket's policy lets nobody delete objects, administrators included.
                aws.carry_out(&["s3api", "delete-bucket-policy", "--bucket", name])?;
                empty(repository, aws, name)?;
                aws.carry_out(&["s3api", "delete-bucket", "--bucket", name])
            }
            Self::Stack(id) => super::delete_stack(aws, id),
            Self::Table(name) => {
                aws.ask(&[
                    "dynamodb",
                    "update-table",
                    "--table-name",
                    name,
                    "--no-deletion-protection-enabled",
                ])?;
                aws.ask(&["dynamodb", "delete-table", "--table-name", name]).map(drop)
            }
            // Thirty days, in which somebody may still notice.
            Self::Key(id) => aws
                .ask(&["kms", "schedule-key-deletion", "--key-id", id, "--pending-window-in-days", "30"])
                .map(drop),
        }
    }
}

/// Every version, and every mark of a deletion.
fn empty(repository: &Repository, aws: &Aws<'_>, bucket: &str) -> Result<(), TaskError> {
    loop {
        let listed =
            aws.ask(&["s3api", "list-object-versions", "--bucket", bucket, "--max-items", AT_ONCE])?;
        let objects = versions(&listed);
        if objects.is_empty() {
            return Ok(());
        }
        speech::progress(&format!("Deleting {} versions of objects in {bucket}.", objects.len()));
        delete_objects(repository, aws, bucket, &objects)?;
    }
}

fn versions(listed: &Value) -> Vec<Value> {
    let of = |name: &str| listed[name].as_array().cloned().unwrap_or_default();
    let all = of("Versions").into_iter().chain(of("DeleteMarkers"));
    all.map(|version| json!({"Key": version["Key"], "VersionId": version["VersionId"]})).collect()
}

fn delete_objects(
    repository: &Repository,
    aws: &Aws<'_>,
    bucket: &str,
    objects: &[Value],
) -> Result<(), TaskError> {
    // A thousand names do not fit on a command line.
    let path = repository.target().join("deploy").join(format!("{bucket}.delete.json"));
    let text = json!({"Objects": objects, "Quiet": true}).to_string();
    let parent = path.parent().unwrap_or(&path);
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|cause| TaskError::file(&path, cause))?;
    let file = format!("file://{}", path.display());
    let answer = aws.ask(&["s3api", "delete-objects", "--bucket", bucket, "--delete", &file]);
    let _ = std::fs::remove_file(&path);
    match answer?["Errors"].as_array().and_then(|errors| errors.first().cloned()) {
        // Otherwise the same objects would be listed for ever: a lock holds them, or a policy.
        Some(error) => Err(TaskError::CheckFailed(format!("objects in {bucket} cannot be deleted: {error}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_deletions_are_versions_too() {
        let listed = json!({
            "Versions": [{"Key": "a", "VersionId": "1", "Size": 3}],
            "DeleteMarkers": [{"Key": "a", "VersionId": "2"}]
        });
        assert_eq!(
            versions(&listed),
            [json!({"Key": "a", "VersionId": "1"}), json!({"Key": "a", "VersionId": "2"})]
        );
        assert!(versions(&json!(null)).is_empty());
    }
}
