//! `cargo xtask remove`: takes a stack away, and says before what is lost and what stays.

mod holdings;

use clap::Args;

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
  cargo xtask remove --stack rekindle --with-data     everything goes, and cannot be had back

Images and snapshots are never removed: they are what recoveries start from.

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
    delete_stack(&aws, &arguments.stack)?;
    if arguments.with_data {
        for holding in &holdings {
            holding.delete(repository, &aws)?;
        }
    }
    speech::progress("The stack is gone.");
    Ok(())
}

fn shown(arguments: &Arguments, holdings: &[Holding]) -> String {
    let fate = if arguments.with_data { "is LOST" } else { "stays" };
    let mut lines = vec![format!(
        "The stack {}: its functions, state machines, interfaces and roles go.",
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
