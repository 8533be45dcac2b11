//! `cargo xtask test`: one command that sets up what it needs, checks everything, and says how it went.

mod set_up;
mod steps;
mod summary;

use std::time::Instant;

use crate::command_line::TestArguments;
use crate::error::TaskError;
use crate::repository::Repository;
use crate::speech;
use set_up::SetUp;
use steps::{Done, STEPS, Step};
use summary::{Entry, StepResult};

pub(crate) use set_up::nextest;
pub(crate) use steps::step_names;

/// Runs the steps that were asked for, in their order.
pub(crate) fn run(repository: &Repository, arguments: &TestArguments) -> Result<(), TaskError> {
    if arguments.list {
        list();
        return Ok(());
    }
    let steps = chosen(&arguments.only);
    let set_up = set_up::prepare(repository, &steps)?;
    let (entries, first_error) = run_steps(&steps, repository, &set_up, arguments.keep_going);
    summary::say(&entries);
    first_error.map_or(Ok(()), Err)
}

fn list() {
    for step in &STEPS {
        speech::say(&format!("{:<20} {}", step.name, step.headline));
    }
}

fn chosen(only: &[String]) -> Vec<&'static Step> {
    STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect()
}

fn run_steps(
    steps: &[&'static Step],
    repository: &Repository,
    set_up: &SetUp,
    keep_going: bool,
) -> (Vec<Entry>, Option<TaskError>) {
    let mut entries = Vec::new();
    let mut first_error: Option<TaskError> = None;
    for step in steps {
        if first_error.is_some() && !keep_going {
            entries.push(Entry::not_reached(step));
            continue;
        }
        speech::headline(&format!("{}: {}", step.name, step.headline));
        let started = Instant::now();
        let outcome = (step.run)(repository, set_up);
        let duration = started.elapsed();
        let result = match outcome {
            Ok(Done::Checked) => StepResult::Passed,
            Ok(Done::CouldNotBeChecked(reason)) => StepResult::Skipped(reason),
            Err(error) => {
                speech::complain(&error.to_string());
                first_error = first_error.or(Some(error));
                StepResult::Failed
            }
        };
        speech::say(&format!("-- {}: {} after {}", step.name, result.word(), speech::duration(duration)));
        entries.push(Entry { name: step.name, result, duration: Some(duration) });
    }
    (entries, first_error)
}
