//! `cargo xtask remove`: takes a stack away, and says before what is lost and what stays.

mod holdings;

use clap::Args;

use crate::aws::Aws;
use crate::aws::tagged::Tagged;
use crate::confirmation;
use crate::deploy::{self, Outputs, stack_name};
use crate::error::TaskError;
use crate::remnant::{self, Remnant};
use crate::repository::Repository;
use crate::speech;
use holdings::Holding;

const EXAMPLES: &str = "\
Examples:
  cargo xtask remove --stack rekindle                 the programs go; backups, images and register stay
  cargo xtask remove --stack rekindle --with-data     buckets, register and keys go too, and the images with
                                                      them: nobody can read an image without its key

Images and snapshots are never deleted; you deregister them. The bucket of packages stays too.
Where instances of the stack are still there, nothing is removed. Only this account is looked at:
what is in an account of the customer's own is removed there, with the stack that is there.

Exit codes:
  0    the stack is gone, and with --with-data all that was shown as lost
  1    something is missing, was refused, was not agreed to, or may be left: the error names it
  any other code is that of the `aws` command; the same command goes on where it broke off";

/// What is removed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The stack's name.
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    stack: String,
    /// Empty and delete its buckets and its tables too, and have its keys deleted.
    #[arg(long)]
    with_data: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// `cargo xtask remove`.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<(), TaskError> {
    let aws = Aws::of_the_caller(repository)?;
    remove(repository, &aws, arguments)
}

fn remove(repository: &Repository, aws: &Aws<'_>, arguments: &Arguments) -> Result<(), TaskError> {
    let seen = Sight::of(aws, &arguments.stack)?;
    speech::progress(&shown(arguments, &seen));
    let question = if arguments.with_data {
        "Is all of this to be removed? What is in buckets and tables cannot be had back."
    } else {
        "Is the stack to be removed?"
    };
    confirmation::obtain(question, arguments.yes, "removed")?;
    look_again(aws, &arguments.stack, &seen)?;
    let (stacks, data): (Vec<_>, Vec<_>) = seen.holdings.iter().partition(|holding| holding.is_stack());
    // The data first: while the stack is there, a removal that breaks off can be carried on by the same command.
    if arguments.with_data {
        data.iter().try_for_each(|holding| holding.delete(repository, aws))?;
    }
    delete_stack(aws, &arguments.stack)?;
    if arguments.with_data {
        delete_nested(repository, aws, &stacks)?;
    }
    speech::progress("The stack is gone.");
    Ok(())
}

/// What a stack is and has, at one moment.
#[derive(Debug, PartialEq, Eq)]
struct Sight {
    holdings: Vec<Holding>,
    images: usize,
    /// The customer's account, where that is another one.
    elsewhere: Option<String>,
}

impl Sight {
    /// An error where instances are still there.
    fn of(aws: &Aws<'_>, stack: &str) -> Result<Self, TaskError> {
        let tagged = Tagged::with(aws, "rekindle:stack", stack);
        refuse_while_there_are(&tagged.instances()?)?;
        let outputs = deploy::outputs(aws, stack)?;
        let holdings = holdings::with_register(holdings::of_stack(aws, stack)?, outputs.get("TableName"));
        let images = tagged.images()?.len();
        Ok(Self { holdings, images, elsewhere: elsewhere(&outputs, &aws.account()?) })
    }
}

/// Whatever runs would run for ever: the sweep that ends it goes with the stack.
fn refuse_while_there_are(instances: &[String]) -> Result<(), TaskError> {
    if instances.is_empty() {
        return Ok(());
    }
    Err(TaskError::CheckFailed(format!(
        "instances of the stack are still there: {}. Nothing was removed. End its recoveries, wait for its refreshes, and \
         try again",
        instances.join(", ")
    )))
}

/// Whoever is asked may take an hour to answer; a refresh may have begun meanwhile.
fn look_again(aws: &Aws<'_>, stack: &str, seen: &Sight) -> Result<(), TaskError> {
    if Sight::of(aws, stack)? == *seen {
        return Ok(());
    }
    Err(TaskError::CheckFailed(
        "the stack is not as it was shown any more: nothing was removed. Try again, and look at what is shown then"
            .to_owned(),
    ))
}

/// The account of the customer's part, where it is not this one.
fn elsewhere(outputs: &Outputs, own_account: &str) -> Option<String> {
    let account = outputs.get("InstanceRoleArn")?.split(':').nth(4)?;
    (account != own_account).then(|| account.to_owned())
}

fn shown(arguments: &Arguments, seen: &Sight) -> String {
    let stack = &arguments.stack;
    let mut lines =
        vec![format!("The stack {stack}: its functions, state machines, interfaces and their roles go.")];
    for holding in &seen.holdings {
        let fate = if arguments.with_data { holding.fate() } else { "stays" };
        lines.push(format!("  {fate}: {holding}"));
    }
    let loses_keys = arguments.with_data && seen.holdings.iter().any(Holding::is_key);
    let fate = if loses_keys { "stays, and is USELESS without its key" } else { "stays" };
    lines.push(format!(
        "  {fate}: {} images with their snapshots, tagged rekindle:stack={stack}",
        seen.images
    ));
    if let Some(account) = &seen.elsewhere {
        lines.push(format!(
            "The customer's part is in the account {account}, and was not looked at: see there that no instance with the \
             tag rekindle:stack={stack} is left, since nothing would end it afterwards."
        ));
    }
    lines.join("\n")
}

fn delete_stack(aws: &Aws<'_>, stack: &str) -> Result<(), TaskError> {
    aws.carry_out(&["cloudformation", "delete-stack", "--stack-name", stack])?;
    aws.carry_out(&["cloudformation", "wait", "stack-delete-complete", "--stack-name", stack])
}

/// The stack around them is gone, so this command does not find them again.
fn delete_nested(repository: &Repository, aws: &Aws<'_>, stacks: &[&Holding]) -> Result<(), TaskError> {
    let mut outcome = Ok(());
    let mut left = Vec::new();
    for stack in stacks {
        if let Err(error) = stack.delete(repository, aws) {
            left.push(Remnant {
                what: stack.to_string(),
                why: error.to_string(),
                command: format!("aws cloudformation delete-stack --stack-name {}", stack.id()),
            });
            outcome = Err(error);
        }
    }
    remnant::told(outcome, &left, |()| String::new())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;
    use crate::aws::tests::Played;
    use serde_json::json;

    fn arguments(with_data: bool) -> Arguments {
        Arguments { stack: "rekindle".to_owned(), with_data, yes: true }
    }

    /// A stack with one of everything, a register that was restored, and answers of a test's own before.
    fn stack(cases: &str) -> Played {
        let output = |key: &str, value: &str| json!({"OutputKey": key, "OutputValue": value});
        let outputs = [
            output("TableName", "rekindle-restored-1"),
            output("InstanceRoleArn", "arn:aws:iam::123456789012:role/rekindle/rekindle-instance"),
        ];
        let described = json!({"Stacks": [{"Outputs": outputs, "StackStatus": "CREATE_COMPLETE"}]});
        let resource = |kind: &str, id: &str| json!({"ResourceType": kind, "PhysicalResourceId": id});
        let resources = json!({"StackResourceSummaries": [
            resource("AWS::S3::Bucket", "rekindle-control"),
            resource("AWS::DynamoDB::Table", "rekindle-table"),
            resource("AWS::KMS::Key", "key-1"),
            resource("AWS::CloudFormation::Stack", "nested"),
        ]});
        Played::answering(&format!(
            r#"{cases}
            *get-caller-identity*) echo 123456789012 ;;
            *list-stack-resources*nested*) echo '{{}}' ;;
            *list-stack-resources*) echo '{resources}' ;;
            *describe-stacks*) echo '{described}' ;;
            *list-object-versions*) echo '{{}}' ;;
            *describe-images*) echo '{{"Images": [{{"ImageId": "ami-1"}}]}}' ;;"#
        ))
    }

    fn removed(played: &Played, with_data: bool) -> Result<(), TaskError> {
        let repository = Repository::find().unwrap();
        remove(&repository, &played.aws(&repository), &arguments(with_data))
    }

    fn is_untouched(played: &Played) -> bool {
        let changes = ["delete", "update", "schedule"];
        played.asked().iter().all(|line| changes.iter().all(|change| !line.contains(change)))
    }

    #[test]
    fn everything_that_was_shown_as_lost_goes_the_restored_register_included() {
        let played = stack("");
        removed(&played, true).unwrap();
        for deletion in [
            "s3api delete-bucket --bucket rekindle-control",
            "dynamodb delete-table --table-name rekindle-table",
            "dynamodb delete-table --table-name rekindle-restored-1",
            "kms schedule-key-deletion --key-id key-1",
            "cloudformation delete-stack --stack-name rekindle",
            "cloudformation delete-stack --stack-name nested",
        ] {
            assert_eq!(played.times(deletion), 1, "{deletion}");
        }
    }

    #[test]
    fn without_data_only_the_stack_goes() {
        let played = stack("");
        removed(&played, false).unwrap();
        let deletions = played.asked().into_iter().filter(|line| line.contains(" delete-")).count();
        assert_eq!((played.times("cloudformation delete-stack --stack-name rekindle"), deletions), (1, 1));
    }

    #[test]
    fn what_began_while_the_question_was_open_stops_the_removal() {
        for change in [
            r#"*describe-instances*) [ "$(grep -c describe-instances "$notes")" = 1 ] || echo '["i-1"]' ;;"#,
            r#"*describe-images*) [ "$(grep -c describe-images "$notes")" = 1 ] || echo '{"Images": [{}, {}]}' ;;"#,
        ] {
            let played = stack(change);
            let error = removed(&played, true).unwrap_err().to_string();
            assert!(error.contains("othing was removed"), "{error}");
            assert!(is_untouched(&played), "{:?}", played.asked());
        }
    }

    #[test]
    fn an_error_is_no_proof_that_something_is_gone() {
        for (question, code) in [
            ("head-bucket", "403"),
            ("describe-table", "RequestLimitExceeded"),
            ("describe-key", "AccessDeniedException"),
        ] {
            let played = stack(&format!("*{question}*) refuse {code} ;;"));
            let error = removed(&played, true).unwrap_err().to_string();
            assert!(error.contains(code), "{error}");
            assert_eq!(played.times("cloudformation delete-stack"), 0, "{question}");
        }
    }

    #[test]
    fn a_removal_that_broke_off_is_carried_on() {
        let played = stack(
            "*head-bucket*) refuse 404 ;;
            *describe-table*rekindle-table*) refuse ResourceNotFoundException ;;",
        );
        removed(&played, true).unwrap();
        assert_eq!(played.times("s3api delete-bucket"), 0);
        assert_eq!(played.times("dynamodb delete-table --table-name rekindle-table"), 0);
        assert_eq!(played.times("dynamodb delete-table --table-name rekindle-restored-1"), 1);
        assert_eq!(played.times("cloudformation delete-stack --stack-name rekindle"), 1);
    }

    #[test]
    fn a_nested_stack_that_stays_is_told_of_with_its_command() {
        let played = stack("*delete-stack*nested*) refuse AccessDenied ;;");
        let error = removed(&played, true).unwrap_err().to_string();
        assert!(error.contains("`aws cloudformation delete-stack --stack-name nested`"), "{error}");
    }

    #[test]
    fn what_stays_without_its_key_is_said_to_be_useless() {
        let seen = |holdings: Vec<Holding>| Sight {
            holdings,
            images: 3,
            elsewhere: Some("210987654321".to_owned()),
        };
        let key = || vec![Holding::Key("key-1".to_owned())];
        assert!(shown(&arguments(true), &seen(key())).contains("USELESS without its key: 3 images"));
        assert!(!shown(&arguments(false), &seen(key())).contains("USELESS"));
        assert!(!shown(&arguments(true), &seen(Vec::new())).contains("USELESS"));
        assert!(shown(&arguments(false), &seen(Vec::new())).contains("account 210987654321"));
    }

    #[test]
    fn the_customers_part_is_elsewhere_when_its_role_is() {
        let outputs = Outputs::from([("InstanceRoleArn".to_owned(), "arn:aws:iam::1:role/x".to_owned())]);
        assert_eq!(elsewhere(&outputs, "1"), None);
        assert_eq!(elsewhere(&outputs, "2"), Some("1".to_owned()));
        assert_eq!(elsewhere(&Outputs::new(), "2"), None);
    }
}
