//! `cargo xtask remove`: takes a stack away, and says before what is lost and what stays.

mod holdings;

use clap::Args;
use serde_json::Value;

use crate::aws::Aws;
use crate::confirmation;
use crate::deploy::stack_name;
use crate::error::TaskError;
use crate::repository::Repository;
use crate::speech;
use holdings::Holding;

const EXAMPLES: &str = "\
Examples:
  cargo xtask remove --stack rekindle                 the programs go; backups, images and register stay
  cargo xtask remove --stack rekindle --with-data     everything but images goes, and cannot be had back

Images and snapshots are never removed: they are what recoveries start from. The bucket of packages stays too.
Where instances of the stack are still there, nothing is removed.

Exit codes:
  0    the stack is gone
  1    something is missing, or was not agreed to
  any other code is that of the `aws` command";

/// What is removed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The stack's name.
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    stack: String,
    /// Empty and delete its buckets and its table too, and have its keys deleted.
    #[arg(long)]
    with_data: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// `cargo xtask remove`.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<(), TaskError> {
    let aws = Aws::of_the_caller(repository)?;
    refuse_while_instances_run(&aws, &arguments.stack)?;
    let holdings = holdings::of_stack(&aws, &arguments.stack)?;
    speech::progress(&shown(arguments, &holdings));
    speech::progress(&images_that_stay(&aws, &arguments.stack));
    let question = if arguments.with_data {
        "Is all of this to be removed? The data cannot be had back."
    } else {
        "Is the stack to be removed?"
    };
    if !confirmation::is_wanted(question, arguments.yes)? {
        speech::progress("Nothing was removed.");
        return Ok(());
    }
    let (stacks, data): (Vec<_>, Vec<_>) = holdings.iter().partition(|holding| holding.is_stack());
    let holdings_of =
        |some: &[&Holding]| some.iter().try_for_each(|holding| holding.delete(repository, &aws));
    // The data first: while the stack is there, a removal that breaks off can be carried on by the same command.
    if arguments.with_data {
        holdings_of(&data)?;
    }
    delete_stack(&aws, &arguments.stack)?;
    if arguments.with_data {
        holdings_of(&stacks)?;
    }
    speech::progress("The stack is gone.");
    Ok(())
}

/// Whatever runs would run for ever: the sweep that ends it goes with the stack.
fn refuse_while_instances_run(aws: &Aws<'_>, stack: &str) -> Result<(), TaskError> {
    let of_stack = format!("Name=tag:rekindle:stack,Values={stack}");
    let alive = "Name=instance-state-name,Values=pending,running,stopping,stopped";
    let query = "Reservations[].Instances[].InstanceId";
    let found = aws.ask(&["ec2", "describe-instances", "--filters", &of_stack, alive, "--query", query])?;
    let running: Vec<&str> = found.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if running.is_empty() {
        return Ok(());
    }
    Err(TaskError::CheckFailed(format!(
        "instances of the stack are still there: {}. End its recoveries and wait for its refreshes first",
        running.join(", ")
    )))
}

fn shown(arguments: &Arguments, holdings: &[Holding]) -> String {
    let fate = if arguments.with_data { "is LOST" } else { "stays" };
    let mut lines = vec![format!(
        "The stack {}: its functions, state machines, interfaces and their roles go.",
        arguments.stack
    )];
    lines.extend(holdings.iter().map(|holding| format!("  {fate}: {holding}")));
    lines.join("\n")
}

fn images_that_stay(aws: &Aws<'_>, stack: &str) -> String {
    let filter = format!("Name=tag:rekindle:stack,Values={stack}");
    let images = aws.ask(&["ec2", "describe-images", "--owners", "self", "--filters", &filter]);
    match images.ok().and_then(|answer| answer["Images"].as_array().map(Vec::len)) {
        Some(number) => {
            format!("  stays: {number} images with their snapshots, tagged rekindle:stack={stack}")
        }
        None => format!("  stays: images tagged rekindle:stack={stack}, which cannot be counted from here"),
    }
}

fn delete_stack(aws: &Aws<'_>, stack: &str) -> Result<(), TaskError> {
    aws.carry_out(&["cloudformation", "delete-stack", "--stack-name", stack])?;
    aws.carry_out(&["cloudformation", "wait", "stack-delete-complete", "--stack-name", stack])
}
