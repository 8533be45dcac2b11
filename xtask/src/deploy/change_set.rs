//! What a deployment would change, before it does.

use std::path::Path;

use serde_json::Value;

use super::Wanted;
use crate::aws::Aws;
use crate::error::TaskError;
use crate::package::build::Architecture;
use crate::remnant::Remnant;

/// A change set that AWS has worked out.
pub(super) struct ChangeSet {
    id: String,
    stack: String,
    /// Whether the stack comes into being with it.
    is_new: bool,
    changes: Vec<Value>,
}

impl ChangeSet {
    /// Has the changes worked out; none when there are none.
    pub(super) fn create(
        aws: &Aws<'_>,
        wanted: &Wanted<'_>,
        template: &Path,
        bucket: &str,
    ) -> Result<Option<Self>, TaskError> {
        let template = template.display().to_string();
        let tag = format!("rekindle:stack={}", wanted.stack);
        // Not executed: this command only knows how to upload a large template and how to keep old parameters.
        let mut arguments =
            vec!["cloudformation", "deploy", "--no-execute-changeset", "--no-fail-on-empty-changeset"];
        arguments.extend(["--template-file", &template, "--stack-name", wanted.stack]);
        arguments.extend(["--s3-bucket", bucket, "--s3-prefix", wanted.stack, "--tags", &tag]);
        arguments.extend([
            "--capabilities",
            "CAPABILITY_IAM",
            "CAPABILITY_NAMED_IAM",
            "CAPABILITY_AUTO_EXPAND",
        ]);
        let architecture = match wanted.architecture {
            Architecture::Arm64 => "Architecture=arm64",
            Architecture::X86_64 => "Architecture=x86_64",
        };
        arguments.extend(["--parameter-overrides", architecture]);
        arguments.extend(wanted.parameters.iter().map(String::as_str));
        let said = aws.text(&arguments)?;
        let Some(id) = said.split_whitespace().find(|word| word.contains(":changeSet/")) else {
            return Ok(None);
        };
        Self::describe(aws, id, wanted.stack).map(Some)
    }

    fn describe(aws: &Aws<'_>, id: &str, stack: &str) -> Result<Self, TaskError> {
        let described = aws.ask(&["cloudformation", "describe-change-set", "--change-set-name", id])?;
        let stacks = aws.ask(&["cloudformation", "describe-stacks", "--stack-name", stack])?;
        Ok(Self {
            id: id.to_owned(),
            stack: stack.to_owned(),
            is_new: stacks["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS",
            changes: described["Changes"].as_array().cloned().unwrap_or_default(),
        })
    }

    /// A line for each change.
    pub(super) fn shown(&self) -> String {
        let head = format!("Changes to the stack {}: {}", self.stack, self.changes.len());
        let lines = self.changes.iter().map(|change| line(&change["ResourceChange"]));
        std::iter::once(head).chain(lines).collect::<Vec<String>>().join("\n")
    }

    /// Makes the changes, and waits for their end.
    pub(super) fn execute(&self, aws: &Aws<'_>) -> Result<(), TaskError> {
        aws.carry_out(&["cloudformation", "execute-change-set", "--change-set-name", &self.id])?;
        let awaited = if self.is_new { "stack-create-complete" } else { "stack-update-complete" };
        aws.carry_out(&["cloudformation", "wait", awaited, "--stack-name", &self.stack]).inspect_err(|_| {
            // The command only says that it waited in vain.
            let _ = say_what_failed(aws, &self.stack);
        })
    }

    /// Takes it back; gives what may be left. A stack that was to come into being with it is there already, empty, and
    /// goes too.
    pub(super) fn discard(&self, aws: &Aws<'_>) -> Vec<Remnant> {
        let delete = ["cloudformation", "delete-change-set", "--change-set-name", &self.id];
        let change_set = aws.take_away("the change set", &delete);
        let empty_stack = self.is_new.then(|| {
            let delete = ["cloudformation", "delete-stack", "--stack-name", &self.stack];
            aws.take_away(&format!("the empty stack {}", self.stack), &delete)
        });
        change_set.into_iter().chain(empty_stack.flatten()).collect()
    }
}

fn line(change: &Value) -> String {
    let word = |name: &str| change[name].as_str().unwrap_or_default();
    let replaced = match word("Replacement") {
        "True" => "  replaces what is there",
        "Conditional" => "  may replace what is there",
        _ => "",
    };
    format!("  {:<8} {:<44} {}{replaced}", word("Action"), word("ResourceType"), word("LogicalResourceId"))
}

fn say_what_failed(aws: &Aws<'_>, stack: &str) -> Result<(), TaskError> {
    let answer = aws.ask(&["cloudformation", "describe-stack-events", "--stack-name", stack])?;
    for event in answer["StackEvents"].as_array().into_iter().flatten() {
        let word = |name: &str| event[name].as_str().unwrap_or_default();
        if word("ResourceStatus").ends_with("FAILED") {
            let reason = word("ResourceStatusReason");
            crate::speech::progress(&format!("{}: {reason}", word("LogicalResourceId")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use crate::aws::tests::Played;
    use crate::repository::Repository;

    #[test]
    fn what_was_not_agreed_to_is_taken_back_and_what_stays_is_told_of() {
        let played = Played::answering("*delete-change-set*) refuse AccessDenied ;;");
        let repository = Repository::find().unwrap();
        let discarded = |is_new: bool| {
            let (id, stack) = ("arn:changeSet/1".to_owned(), "rekindle".to_owned());
            ChangeSet { id, stack, is_new, changes: Vec::new() }.discard(&played.aws(&repository))
        };
        let left = discarded(true);
        assert_eq!(left.len(), 1);
        assert!(
            left[0].to_string().contains("delete-change-set --change-set-name arn:changeSet/1`"),
            "{left:?}"
        );
        discarded(false);
        assert_eq!(played.times("cloudformation delete-stack --stack-name rekindle"), 1);
    }

    #[test]
    fn a_replacement_is_seen() {
        let change = serde_json::json!({
            "Action": "Modify", "ResourceType": "AWS::DynamoDB::Table", "LogicalResourceId": "Table", "Replacement": "True"
        });
        assert!(line(&change).ends_with("Table  replaces what is there"));
    }
}
