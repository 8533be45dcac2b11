//! One function, started again and again.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::runtime_api::{Answer, RuntimeApi};
use super::told;
use crate::error::TaskError;

/// Invocations of each start; the first ones fill caches.
const INVOCATIONS: usize = 10;

/// Medians over all starts.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measurement {
    /// From the start of the process until it asks for its first event.
    pub(super) init_ms: f64,
    /// From an event that it does not understand to its refusal, once it has refused one. No call of AWS is in it.
    pub(super) warm_ms: f64,
    /// The most memory that it ever had.
    pub(super) peak_memory_bytes: usize,
    /// Whether it refused each event.
    pub(super) refused: bool,
}

/// Starts a program this many times.
pub(super) fn of(program: &Path, starts: u32) -> Result<Measurement, TaskError> {
    let mut inits = Vec::new();
    let mut warms = Vec::new();
    let mut memories = Vec::new();
    let mut refused = true;
    for _ in 0..starts {
        let start = one_start(program)?;
        inits.push(start.init);
        refused &= start.answers.iter().all(|answer| answer.is_refusal);
        warms.extend(start.answers.iter().map(|answer| answer.took));
        memories.push(start.peak_memory_bytes);
    }
    Ok(Measurement {
        init_ms: milliseconds(median(&mut inits)),
        warm_ms: milliseconds(median(&mut warms)),
        peak_memory_bytes: median(&mut memories),
        refused,
    })
}

struct Start {
    init: Duration,
    answers: Vec<Answer>,
    peak_memory_bytes: usize,
}

/// Killed when it goes: a function never ends by itself.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one_start(program: &Path) -> Result<Start, TaskError> {
    let api = RuntimeApi::listen()?;
    let log = program.with_extension("log");
    let file = File::create(&log).map_err(|cause| TaskError::file(&log, cause))?;
    let started = Instant::now();
    let child = Command::new(program)
        .env_clear()
        .envs(told::variables(api.port()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .map_err(|cause| TaskError::NotStarted { program: program.display().to_string(), cause })?;
    let process = Process(child);
    let failed =
        |why: String| TaskError::CheckFailed(format!("{}: {why}; see {}", program.display(), log.display()));
    let init = api.first_request().map_err(failed)?.duration_since(started);
    let mut answers = Vec::new();
    for _ in 0..INVOCATIONS {
        answers.push(api.invoke().map_err(failed)?);
    }
    let peak_memory_bytes = peak_memory(&process.0)?;
    // The first is still part of the start.
    Ok(Start { init, answers: answers.split_off(1), peak_memory_bytes })
}

/// As the kernel counts it.
fn peak_memory(child: &Child) -> Result<usize, TaskError> {
    let path = format!("/proc/{}/status", child.id());
    let text = fs::read_to_string(&path).map_err(|cause| TaskError::File { path: path.clone(), cause })?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: Option<usize> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| TaskError::CheckFailed(format!("{path} does not tell the peak of memory")))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The one in the middle, or the type's zero of nothing.
fn median<T: Ord + Copy + Default>(values: &mut [T]) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [9, 1, 5]), 5);
        assert_eq!(median::<usize>(&mut []), 0);
    }
}
