//! `cargo xtask package`: the functions as Lambda takes them, and the agent as instances run it.

pub(crate) mod archive;
pub(crate) mod binaries;
pub(crate) mod build;
pub(crate) mod sizes;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sha2::{Digest as _, Sha256};

use crate::error::TaskError;
use crate::repository::Repository;
use crate::speech;
use binaries::{Binary, Kind};
use build::{Architecture, Build, Profile};
use sizes::Package;

const EXAMPLES: &str = "\
Examples:
  cargo xtask package                                 everything, small, for arm64
  cargo xtask package --profile dev --architecture x86-64
                                                      quickly, for the emulators on a PC
  cargo xtask package --only wake,report --json       two functions, and their sizes as JSON
  cargo xtask package --verify-reproducible           built twice, compared byte by byte

The packages are target/lambda/ARCHITECTURE/FUNCTION/bootstrap.zip,
the agent is target/lambda/ARCHITECTURE/agent/rekindle-agent.

Exit codes:
  0    everything is packaged, and small enough
  1    a package is above its limit, or differs when built again
  any other code is that of the build that failed";

/// What is packaged, and how.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The processor that it is for.
    #[arg(long, value_enum, default_value = "arm64")]
    pub(crate) architecture: Architectures,
    /// `lambda` is small and takes long; `dev` is quick, and for this machine's processor only.
    #[arg(long, value_enum, default_value = "lambda")]
    pub(crate) profile: Profile,
    /// These functions (or `agent`) and no others.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub(crate) only: Vec<String>,
    /// Build everything a second time in another folder, and compare.
    #[arg(long)]
    verify_reproducible: bool,
    /// Print the packages and their sizes as JSON.
    #[arg(long)]
    json: bool,
}

/// One architecture, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architectures {
    /// AWS Graviton: cheaper, and starts sooner.
    Arm64,
    /// Intel and AMD.
    #[value(name = "x86-64")]
    X86_64,
    /// One package for each.
    Both,
}

impl Architectures {
    /// The processor of this machine.
    pub(crate) fn of_this_machine() -> Self {
        match Architecture::of_this_machine() {
            Architecture::Arm64 => Self::Arm64,
            Architecture::X86_64 => Self::X86_64,
        }
    }

    fn each(self) -> &'static [Architecture] {
        match self {
            Self::Arm64 => &[Architecture::Arm64],
            Self::X86_64 => &[Architecture::X86_64],
            Self::Both => &[Architecture::Arm64, Architecture::X86_64],
        }
    }
}

/// `cargo xtask package`.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<(), TaskError> {
    let binaries = binaries::chosen(repository, &arguments.only)?;
    let mut packages = Vec::new();
    for &architecture in arguments.architecture.each() {
        let build = Build { architecture, profile: arguments.profile, target: repository.target() };
        let made = make(repository, &build, &binaries, &folder(repository, architecture))?;
        if arguments.verify_reproducible {
            compare(&made, &again(repository, build, &binaries)?)?;
        }
        packages.extend(made);
    }
    speech::say(&if arguments.json { sizes::json(&packages)? } else { sizes::table(&packages) });
    judge(arguments.profile, &packages)
}

/// Packages everything for a stack. What is above its limit starts more slowly, and is deployed all the same: a stack
/// that cannot be changed helps nobody.
pub(crate) fn make_all(
    repository: &Repository,
    architectures: Architectures,
    profile: Profile,
) -> Result<(), TaskError> {
    let binaries = binaries::chosen(repository, &[])?;
    let mut packages = Vec::new();
    for &architecture in architectures.each() {
        let build = Build { architecture, profile, target: repository.target() };
        packages.extend(make(repository, &build, &binaries, &folder(repository, architecture))?);
    }
    if let Err(above) = judge(profile, &packages) {
        speech::progress(&format!("Packages are larger than they should be: {above}."));
    }
    Ok(())
}

/// Packages for tests may be of any size.
fn judge(profile: Profile, packages: &[Package]) -> Result<(), TaskError> {
    match profile {
        Profile::Lambda => sizes::judge(packages),
        Profile::Dev => Ok(()),
    }
}

/// Where the packages for an architecture are; the template names this place.
pub(crate) fn folder(repository: &Repository, architecture: Architecture) -> PathBuf {
    repository.target().join("lambda").join(architecture.name())
}

/// Builds these programs and packages them below a folder.
pub(crate) fn make(
    repository: &Repository,
    build: &Build,
    binaries: &[Binary],
    folder: &Path,
) -> Result<Vec<Package>, TaskError> {
    build.run(repository, binaries)?;
    binaries.iter().map(|binary| package(build, binary, folder)).collect()
}

fn package(build: &Build, binary: &Binary, folder: &Path) -> Result<Package, TaskError> {
    let built = build.place(binary);
    let program = fs::read(&built).map_err(|cause| TaskError::file(&built, cause))?;
    let folder = folder.join(&binary.name);
    fs::create_dir_all(&folder).map_err(|cause| TaskError::file(&folder, cause))?;
    let (path, content) = match binary.kind {
        Kind::Agent => (folder.join(&binary.program), program.clone()),
        Kind::Function { .. } => {
            let zip = archive::of_one_program("bootstrap", &program, build.profile.compression())?;
            (folder.join("bootstrap.zip"), zip)
        }
    };
    write(&path, &content, binary.kind)?;
    Ok(Package {
        name: binary.name.clone(),
        architecture: build.architecture,
        unzipped_bytes: program.len(),
        zipped_bytes: (binary.kind != Kind::Agent).then_some(content.len()),
        sha256: format!("{:x}", Sha256::digest(&content)),
        limit_bytes: sizes::limit(binary.kind),
        path,
    })
}

/// Beside the place first, since a running emulator or agent may be reading the old one.
fn write(path: &Path, content: &[u8], kind: Kind) -> Result<(), TaskError> {
    let new = path.with_extension("new");
    let mode = if kind == Kind::Agent { 0o755 } else { 0o644 };
    fs::write(&new, content)
        .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&new, path))
        .map_err(|cause| TaskError::file(path, cause))
}

fn again(repository: &Repository, build: Build, binaries: &[Binary]) -> Result<Vec<Package>, TaskError> {
    let target = repository.target().join("built-again");
    let build = Build { target: target.clone(), ..build };
    let packages = make(repository, &build, binaries, &target.join("packages"))?;
    fs::remove_dir_all(&target).map_err(|cause| TaskError::file(&target, cause))?;
    Ok(packages)
}

fn compare(first: &[Package], second: &[Package]) -> Result<(), TaskError> {
    let differs = |(one, other): &(&Package, &Package)| one.sha256 != other.sha256;
    let names: Vec<&str> =
        first.iter().zip(second).filter(differs).map(|(package, _)| package.name.as_str()).collect();
    if names.is_empty() {
        speech::progress("Built twice, every package is the same byte by byte.");
        return Ok(());
    }
    Err(TaskError::CheckFailed(format!("built again, these packages differ: {}", names.join(", "))))
}
