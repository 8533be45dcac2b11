//! How long somebody waits who has just cloned the repository and wants to see the product run.

use std::time::{Duration, Instant};

use crate::error::TaskError;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;

/// On two cores.
const LIMIT: Duration = Duration::from_secs(360);

/// Builds the default member from nothing, into a folder of its own so that no other build is disturbed.
pub(crate) fn run(repository: &Repository) -> Result<(), TaskError> {
    let folder = repository.target().join("build-time");
    speech::headline(&format!("A clean release build, into {}", folder.display()));
    remove(&folder)?;
    fetch(repository)?;
    let started = Instant::now();
    let built = Program::cargo(repository)
        .arguments(["build", "--locked", "--release", "--target-dir"])
        .arguments([folder.as_os_str()])
        .run();
    let taken = started.elapsed();
    // It is as large as every other build, and of no further use.
    remove(&folder)?;
    built?;
    judge(taken)
}

/// The network is not what is measured.
fn fetch(repository: &Repository) -> Result<(), TaskError> {
    Program::cargo(repository).arguments(["fetch", "--locked"]).run()
}

fn remove(folder: &std::path::Path) -> Result<(), TaskError> {
    match std::fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(TaskError::File { path: folder.display().to_string(), cause })
        }
        _ => Ok(()),
    }
}

fn judge(taken: Duration) -> Result<(), TaskError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let sentence = format!(
        "The clean release build took {} s on {cores} cores; the limit is {} s on 2.",
        taken.as_secs(),
        LIMIT.as_secs()
    );
    if taken > LIMIT {
        return Err(TaskError::CheckFailed(sentence));
    }
    speech::say(&sentence);
    Ok(())
}
