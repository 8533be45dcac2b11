//! What a stack holds that cannot be made again.

use std::fmt;

use serde_json::{Value, json};

use crate::aws::{Aws, Refusal};
use crate::error::TaskError;
use crate::repository::Repository;
use crate::speech;

/// How many objects one request deletes.
const AT_ONCE: &str = "1000";

/// Something that outlives its stack.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            Self::Table(name) => {
                write!(formatter, "table {name}: the register, or what it was restored from")
            }
            Self::Key(id) => {
                write!(formatter, "key {id}; whatever is encrypted with it can be read only with it")
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

/// A register that was restored lies in a table that the stack has not made, and names among its outputs.
pub(super) fn with_register(mut holdings: Vec<Holding>, table: Option<&String>) -> Vec<Holding> {
    let register = table.map(|name| Holding::Table(name.clone()));
    let missing = register.filter(|register| !holdings.contains(register));
    holdings.splice(0..0, missing);
    holdings
}

impl Holding {
    /// The name by which AWS knows it.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Bucket(id) | Self::Table(id) | Self::Key(id) | Self::Stack(id) => id,
        }
    }

    pub(super) fn is_key(&self) -> bool {
        matches!(self, Self::Key(_))
    }

    /// What becomes of it with the data.
    pub(super) fn fate(&self) -> &'static str {
        match self {
            Self::Bucket(_) | Self::Table(_) => "is LOST",
            Self::Key(_) => "is LOST in thirty days",
            Self::Stack(_) => "goes",
        }
    }

    /// Whether it is a stack, which can only go when the stack around it is gone.
    pub(super) fn is_stack(&self) -> bool {
        matches!(self, Self::Stack(_))
    }

    fn question(&self) -> [&str; 4] {
        match self {
            Self::Bucket(name) => ["s3api", "head-bucket", "--bucket", name],
            Self::Table(name) => ["dynamodb", "describe-table", "--table-name", name],
            Self::Key(id) => ["kms", "describe-key", "--key-id", id],
            Self::Stack(id) => ["cloudformation", "describe-stacks", "--stack-name", id],
        }
    }

    /// Whether AWS's answer says that it is still there: a removal that was broken off is carried on by another one.
    fn is_there(&self, answer: Result<Value, Refusal>) -> Result<bool, Refusal> {
        match answer {
            Ok(found) => Ok(!self.is_going(&found)),
            Err(refusal) if refusal.says_gone() => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    fn is_going(&self, found: &Value) -> bool {
        match self {
            Self::Bucket(_) => false,
            Self::Table(_) => found["Table"]["TableStatus"] == "DELETING",
            Self::Key(_) => !found["KeyMetadata"]["DeletionDate"].is_null(),
            Self::Stack(_) => found["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE",
        }
    }

    /// Deletes it with all that is in it.
    pub(super) fn delete(&self, repository: &Repository, aws: &Aws<'_>) -> Result<(), TaskError> {
        let doing = || {
            format!("looking whether this is still there, before it is deleted ({self}; it was not deleted),")
        };
        let is_there = self.is_there(aws.attempt(&self.question())?);
        if !is_there.map_err(|refusal| refusal.while_doing(&doing()))? {
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
    fn only_what_aws_says_is_gone_is_gone() {
        let refusal = |code: &str| Refusal(format!("An error occurred ({code}) when calling it: x"));
        let all = || ["Bucket", "Table", "Key", "Stack"].map(str::to_owned);
        let [bucket, table, key, stack] = all();
        for (holding, gone, going) in [
            (Holding::Bucket(bucket), "404", None),
            (
                Holding::Table(table),
                "ResourceNotFoundException",
                Some(json!({"Table": {"TableStatus": "DELETING"}})),
            ),
            (
                Holding::Key(key),
                "NotFoundException",
                Some(json!({"KeyMetadata": {"DeletionDate": "2026-12-24"}})),
            ),
            (
                Holding::Stack(stack),
                "InvalidStack.NotFound",
                Some(json!({"Stacks": [{"StackStatus": "DELETE_COMPLETE"}]})),
            ),
        ] {
            assert_eq!(holding.is_there(Err(refusal(gone))), Ok(false), "{holding}");
            assert_eq!(holding.is_there(Ok(json!({}))), Ok(true), "{holding}");
            assert!(going.is_none_or(|going| holding.is_there(Ok(going)) == Ok(false)), "{holding}");
            for other in ["403", "AccessDeniedException", "ThrottlingException", "ExpiredToken"] {
                assert_eq!(holding.is_there(Err(refusal(other))), Err(refusal(other)), "{holding}");
            }
        }
    }

    #[test]
    fn the_register_is_a_holding_wherever_it_lies() {
        let table = |name: &str| Holding::Table(name.to_owned());
        let made = || vec![table("made")];
        assert_eq!(with_register(made(), Some(&"made".to_owned())), made());
        assert_eq!(with_register(made(), None), made());
        assert_eq!(with_register(made(), Some(&"restored".to_owned())), [table("restored"), table("made")]);
    }

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
