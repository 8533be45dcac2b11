//! Building programs: with plain cargo for this machine, or for Lambda with `cargo lambda` and the linker `zig`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::archive::Compression;
use super::binaries::{Binary, Kind};
use crate::error::TaskError;
use crate::process::Program;
use crate::python::Environment;
use crate::repository::Repository;

/// The oldest GNU C library that the programs run with. Lambda has 2.34; the agent meets older systems than that.
const OLDEST_GLIBC: &str = "2.28";

/// A processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Architecture {
    /// AWS Graviton.
    #[serde(rename = "arm64")]
    Arm64,
    /// Intel and AMD.
    #[serde(rename = "x86-64")]
    X86_64,
}

impl Architecture {
    /// The processor of this machine.
    pub(crate) fn of_this_machine() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// As folders and the command line have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86-64",
        }
    }

    fn triple(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }
}

/// How programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// The profile `lambda` of Cargo.toml.
    Lambda,
    /// As tests are compiled.
    Dev,
}

impl Profile {
    /// A package that only an emulator reads need not be small.
    pub(crate) fn compression(self) -> Compression {
        match self {
            Self::Lambda => Compression::Best,
            Self::Dev => Compression::Fast,
        }
    }
}

/// One build of some programs.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    /// The processor that it is for.
    pub(crate) architecture: Architecture,
    /// How it is compiled.
    pub(crate) profile: Profile,
    /// Cargo's folder.
    pub(crate) target: PathBuf,
}

impl Build {
    /// Where a program is once it is built.
    pub(crate) fn place(&self, binary: &Binary) -> PathBuf {
        match self.profile {
            Profile::Dev => self.target.join("debug").join(&binary.program),
            Profile::Lambda => self.moved_to().join(&binary.program).join("bootstrap"),
        }
    }

    /// `cargo lambda` moves programs out of cargo's folder, to here.
    fn moved_to(&self) -> PathBuf {
        self.target.join("cargo-lambda").join(self.architecture.name())
    }

    /// Builds all functions in one go, so that what they share is compiled once. The agent has a go of its own: cargo
    /// compiles a shared crate with the features that anyone asked for, and functions would be given the agent's.
    pub(crate) fn run(&self, repository: &Repository, binaries: &[Binary]) -> Result<(), TaskError> {
        if binaries.is_empty() {
            return Err(TaskError::Missing(
                "there is nothing to package: no function has a program".to_owned(),
            ));
        }
        match self.profile {
            Profile::Dev => self.with_cargo(repository, binaries),
            Profile::Lambda => {
                let (agents, functions): (Vec<Binary>, Vec<Binary>) =
                    binaries.iter().cloned().partition(|binary| binary.kind == Kind::Agent);
                let mut goes = [functions, agents].into_iter().filter(|go| !go.is_empty());
                goes.try_for_each(|go| self.with_cargo_lambda(repository, &go))
            }
        }
    }

    fn with_cargo(&self, repository: &Repository, binaries: &[Binary]) -> Result<(), TaskError> {
        if self.architecture != Architecture::of_this_machine() {
            return Err(TaskError::Missing(format!(
                "the profile `dev` is for this machine's processor: give --architecture {}",
                Architecture::of_this_machine().name()
            )));
        }
        Program::cargo(repository)
            .arguments(["build", "--locked", "--workspace", "--target-dir"])
            .arguments([&self.target])
            .arguments(features(binaries))
            .arguments(programs(binaries))
            .beside_the_data()
            .run()
    }

    fn with_cargo_lambda(&self, repository: &Repository, binaries: &[Binary]) -> Result<(), TaskError> {
        let tools = Environment::Packaging.prepare(repository)?;
        let mut path = vec![tools.programs()];
        path.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        Program::new(repository, tools.program("cargo-lambda"))
            .arguments(["lambda", "build", "--locked", "--profile", "lambda", "--disable-optimizations"])
            .arguments(["--target", &format!("{}.{OLDEST_GLIBC}", self.architecture.triple())])
            .arguments([OsString::from("--lambda-dir"), self.moved_to().into()])
            .arguments(packages(binaries))
            .arguments(features(binaries))
            .arguments(programs(binaries))
            .variable("PATH", std::env::join_paths(path).unwrap_or_default())
            // Not as an argument: it would hand that to `cargo metadata`, which has no such thing.
            .variable("CARGO_TARGET_DIR", &self.target)
            // Its first random number would cost tens of milliseconds of every cold start.
            .variable("AWS_LC_SYS_NO_JITTER_ENTROPY", "1")
            .variable("CARGO_ENCODED_RUSTFLAGS", self.flags(repository))
            .beside_the_data()
            .run()
    }

    /// The same program wherever it is built: the names of this machine's folders are kept out of it.
    fn flags(&self, repository: &Repository) -> OsString {
        let mut places = vec![(repository.top().to_owned(), "/rekindle"), (self.target.clone(), "/target")];
        places.extend(cargo_home().map(|home| (home, "/cargo")));
        let mut flags = OsString::new();
        for (place, name) in places {
            if !flags.is_empty() {
                flags.push("\u{1f}");
            }
            flags.push("--remap-path-prefix=");
            flags.push(place);
            flags.push("=");
            flags.push(name);
        }
        flags
    }
}

fn cargo_home() -> Option<PathBuf> {
    let own = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(own)
}

fn packages(binaries: &[Binary]) -> Vec<String> {
    binaries.iter().flat_map(|binary| ["--package".to_owned(), binary.package.clone()]).collect()
}

fn features(binaries: &[Binary]) -> Vec<String> {
    let list: Vec<String> =
        binaries.iter().map(|binary| format!("{}/{}", binary.package, binary.feature)).collect();
    vec!["--features".to_owned(), list.join(",")]
}

fn programs(binaries: &[Binary]) -> Vec<String> {
    binaries.iter().flat_map(|binary| ["--bin".to_owned(), binary.program.clone()]).collect()
}
