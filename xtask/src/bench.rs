//! `cargo xtask bench lambda`: what a cold start of each packaged function costs on this machine, without AWS.

mod measurement;
mod runtime_api;
mod told;

use std::fs;
use std::io::{Cursor, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::error::TaskError;
use crate::package::binaries::{self, Binary, Kind};
use crate::package::build::{Architecture, Build, Profile};
use crate::package::{self, sizes};
use crate::repository::Repository;
use crate::speech;
use measurement::Measurement;

const EXAMPLES: &str = "\
Examples:
  cargo xtask package --architecture x86-64 && cargo xtask bench lambda
  cargo xtask bench lambda --function wake,report --json

Measured against a program that is lambda_runtime and nothing else, built and run beside them. Each
function is started by a Runtime API on loopback, as Lambda starts it, with dummies for its variables.

init ms is the time from the start of the process until it asks for its first event. warm ms is the time from
an event that no function understands to its refusal, once it has refused one: what lies around the work of a
step, and nothing of the work itself. No call of AWS is in it.

Exit codes:
  0    every function is within its limits
  1    one is not, is not packaged, or cannot be measured";

/// Under the table.
const WHAT_WARM_MEANS: &str =
    "warm: the refusal of an event that no function understands; no call of AWS is in it.";

/// A cold start is part of nearly every invocation: functions are asked a few times a day.
const INIT_LIMIT_MS: f64 = 20.0;
/// The same with the EC2 client, which is a million lines.
const INIT_LIMIT_WITH_EC2_MS: f64 = 30.0;
/// Lambda bills memory, and gives processor time by it.
const MEMORY_LIMIT_BYTES: usize = 25_000_000;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// Cold start, invocation, memory and size of packaged functions.
    Lambda(Arguments),
}

/// Which functions are measured.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// These functions and no others.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    function: Vec<String>,
    /// Starts of each function.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// One function and its figures.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    measured: Measurement,
    zipped_bytes: usize,
    /// How many times the start of the bare program.
    init_by_bare: f64,
    /// How many times the memory of the bare program.
    memory_by_bare: f64,
    init_limit_ms: f64,
    memory_limit_bytes: usize,
}

impl Row {
    fn is_within_its_limits(&self) -> bool {
        self.measured.init_ms <= self.init_limit_ms
            && self.measured.peak_memory_bytes <= self.memory_limit_bytes
    }
}

/// `cargo xtask bench`.
pub(crate) fn run(repository: &Repository, subject: &Subject) -> Result<(), TaskError> {
    let Subject::Lambda(arguments) = subject;
    let functions = functions(repository, &arguments.function)?;
    let folder = repository.target().join("bench");
    fs::create_dir_all(&folder).map_err(|cause| TaskError::file(&folder, cause))?;
    let (bare_program, bare_zipped) = bare(repository, &folder)?;
    let bare = measurement::of(&bare_program, arguments.starts)?;
    let mut rows = vec![row("bare lambda_runtime", &bare, &bare, bare_zipped, false)];
    for (binary, zip) in &functions {
        speech::progress(&format!("Measuring {}.", binary.name));
        let program = unpacked(zip, &folder.join(&binary.name))?;
        let measured = measurement::of(&program, arguments.starts)?;
        refuse_other_work(&binary.name, &measured)?;
        let size = fs::metadata(zip).map_err(|cause| TaskError::file(zip, cause))?.len();
        let reaches_ec2 = binary.kind == Kind::Function { reaches_ec2: true };
        rows.push(row(
            &binary.name,
            &measured,
            &bare,
            usize::try_from(size).unwrap_or(usize::MAX),
            reaches_ec2,
        ));
    }
    speech::say(&if arguments.json { json(&rows)? } else { table(&rows) });
    judge(&rows)
}

/// Functions that are packaged for this machine's processor.
fn functions(repository: &Repository, only: &[String]) -> Result<Vec<(Binary, PathBuf)>, TaskError> {
    let folder = package::folder(repository, Architecture::of_this_machine());
    let all = binaries::chosen(repository, only)?.into_iter().filter(|binary| binary.kind != Kind::Agent);
    let with_package = all.map(|binary| {
        let zip = folder.join(&binary.name).join("bootstrap.zip");
        (binary, zip)
    });
    all_packaged(with_package.collect())
}

/// What is left out is within no limits.
fn all_packaged(functions: Vec<(Binary, PathBuf)>) -> Result<Vec<(Binary, PathBuf)>, TaskError> {
    if functions.is_empty() {
        return Err(TaskError::Missing("the agent is no function: there is nothing to measure".to_owned()));
    }
    let missing: Vec<&str> =
        functions.iter().filter(|(_, zip)| !zip.is_file()).map(|(binary, _)| binary.name.as_str()).collect();
    if missing.is_empty() {
        return Ok(functions);
    }
    Err(TaskError::Missing(format!(
        "not packaged for this machine: {}; run `cargo xtask package --architecture {}` first, or name others with \
         --function",
        missing.join(", "),
        Architecture::of_this_machine().name()
    )))
}

/// A function that took the event did some work, and the times of others would not compare with it.
fn refuse_other_work(name: &str, measured: &Measurement) -> Result<(), TaskError> {
    if measured.refused {
        return Ok(());
    }
    Err(TaskError::CheckFailed(format!(
        "{name} accepted an event that no function should: give EVENT in xtask/src/bench/runtime_api.rs a field that it \
         refuses"
    )))
}

/// Built and packed as functions are.
fn bare(repository: &Repository, folder: &Path) -> Result<(PathBuf, usize), TaskError> {
    let binary = Binary {
        name: "bare".to_owned(),
        package: "xtask".to_owned(),
        program: "bare-function".to_owned(),
        feature: "bare-function",
        kind: Kind::Function { reaches_ec2: false },
    };
    let architecture = Architecture::of_this_machine();
    let build = Build { architecture, profile: Profile::Lambda, target: repository.target() };
    let packages = package::make(repository, &build, std::slice::from_ref(&binary), folder)?;
    let size = packages.first().and_then(|package| package.zipped_bytes).unwrap_or_default();
    let program = unpacked(&folder.join("bare").join("bootstrap.zip"), &folder.join("bare"))?;
    Ok((program, size))
}

fn unpacked(zip: &Path, folder: &Path) -> Result<PathBuf, TaskError> {
    let failed = |cause: std::io::Error| TaskError::file(zip, cause);
    let bytes = fs::read(zip).map_err(failed)?;
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| failed(error.into()))?;
    let mut program = Vec::new();
    let mut entry = archive.by_name("bootstrap").map_err(|error| failed(error.into()))?;
    entry.read_to_end(&mut program).map_err(failed)?;
    let path = folder.join("bootstrap");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, program))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(|cause| TaskError::file(&path, cause))?;
    Ok(path)
}

fn row(
    name: &str,
    measured: &Measurement,
    bare: &Measurement,
    zipped_bytes: usize,
    reaches_ec2: bool,
) -> Row {
    Row {
        name: name.to_owned(),
        init_by_bare: measured.init_ms / bare.init_ms,
        memory_by_bare: bytes(measured.peak_memory_bytes) / bytes(bare.peak_memory_bytes),
        measured: measured.clone(),
        zipped_bytes,
        init_limit_ms: if reaches_ec2 { INIT_LIMIT_WITH_EC2_MS } else { INIT_LIMIT_MS },
        memory_limit_bytes: MEMORY_LIMIT_BYTES,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of megabytes needs no more than three digits")]
fn bytes(number: usize) -> f64 {
    number as f64
}

fn json(rows: &[Row]) -> Result<String, TaskError> {
    serde_json::to_string_pretty(rows)
        .map_err(|error| TaskError::CheckFailed(format!("the figures cannot be written: {error}")))
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![format!(
        "{:<24} {:>9} {:>6} {:>7} {:>9} {:>9} {:>7} {:>9}",
        "", "init ms", "limit", "by bare", "warm ms", "peak MB", "by bare", "zipped MB"
    )];
    for row in rows {
        lines.push(format!(
            "{:<24} {:>9.1} {:>6.0} {:>7.1} {:>9.2} {:>9} {:>7.1} {:>9}",
            row.name,
            row.measured.init_ms,
            row.init_limit_ms,
            row.init_by_bare,
            row.measured.warm_ms,
            sizes::megabytes(row.measured.peak_memory_bytes),
            row.memory_by_bare,
            sizes::megabytes(row.zipped_bytes)
        ));
    }
    lines.push(WHAT_WARM_MEANS.to_owned());
    lines.join("\n")
}

fn judge(rows: &[Row]) -> Result<(), TaskError> {
    let above: Vec<&str> =
        rows.iter().filter(|row| !row.is_within_its_limits()).map(|row| row.name.as_str()).collect();
    if above.is_empty() {
        return Ok(());
    }
    Err(TaskError::CheckFailed(format!("above the limits of a start or of memory: {}", above.join(", "))))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn the_limits_are_those_of_the_kind_of_function() {
        let bare = Measurement { init_ms: 4.0, warm_ms: 0.2, peak_memory_bytes: 2_500_000, refused: true };
        let slow = Measurement { init_ms: 24.0, ..bare.clone() };
        let (plain, ec2) = (row("wake", &slow, &bare, 1, false), row("sweep", &slow, &bare, 1, true));
        assert!(!plain.is_within_its_limits() && ec2.is_within_its_limits());
        assert!((plain.init_by_bare - 6.0).abs() < 1e-9);
        assert!(judge(&[ec2]).is_ok() && judge(&[plain]).is_err());
    }

    #[test]
    fn a_function_that_is_not_packaged_is_not_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let function = |name: &str| {
            let binary = Binary {
                name: name.to_owned(),
                package: name.to_owned(),
                program: name.to_owned(),
                feature: "lambda",
                kind: Kind::Function { reaches_ec2: false },
            };
            (binary, folder.path().join(name))
        };
        fs::write(folder.path().join("wake"), "").unwrap();
        let packaged = all_packaged(vec![function("wake")]).unwrap();
        assert_eq!(packaged.len(), 1);
        let error = all_packaged(vec![function("wake"), function("sweep")]).unwrap_err().to_string();
        assert!(error.starts_with("not packaged for this machine: sweep; "), "{error}");
        assert!(all_packaged(Vec::new()).is_err(), "only the agent was named");
    }

    #[test]
    fn a_function_that_takes_the_event_is_not_compared() {
        let measured = Measurement { init_ms: 4.0, warm_ms: 900.0, peak_memory_bytes: 1, refused: false };
        assert!(refuse_other_work("sweep", &measured).is_err());
        assert!(refuse_other_work("wake", &Measurement { refused: true, ..measured }).is_ok());
    }
}
