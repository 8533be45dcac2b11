//! What the steps need and a fresh machine does not have. Whatever is installed is said before it is done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::steps::{Need, Step};
use crate::debian;
use crate::error::TaskError;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;

/// Where Debian and Ubuntu keep the programs of a PostgreSQL server, one folder a version.
const DEBIAN_POSTGRESQL: &str = "/usr/lib/postgresql";

/// A tool that cargo builds, in a version that the checks are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tool {
    CargoNextest,
    CargoDeny,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::CargoNextest => "cargo-nextest",
            Self::CargoDeny => "cargo-deny",
        }
    }

    fn version(self) -> Version {
        match self {
            Self::CargoNextest => Version([0, 9, 143]),
            Self::CargoDeny => Version([0, 20, 2]),
        }
    }

    fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Self::CargoNextest => &["nextest", "--version"],
            Self::CargoDeny => &["--version"],
        }
    }
}

/// What was found or installed.
#[derive(Debug, Default)]
pub(super) struct SetUp {
    programs: Vec<(Tool, PathBuf)>,
}

impl SetUp {
    /// The program of a tool; its name alone when no step asked for it.
    pub(super) fn program(&self, tool: Tool) -> PathBuf {
        let found = self.programs.iter().find(|(installed, _)| *installed == tool);
        found.map_or_else(|| PathBuf::from(tool.name()), |(_, path)| path.clone())
    }
}

/// Finds or installs everything that these steps need.
pub(super) fn prepare(repository: &Repository, steps: &[&Step]) -> Result<SetUp, TaskError> {
    let needs: BTreeSet<Need> = steps.iter().flat_map(|step| step.needs).copied().collect();
    if !needs.is_empty() {
        speech::headline("set-up: what the steps need");
    }
    let mut set_up = SetUp::default();
    for need in needs {
        match need {
            Need::PostgreSql => prepare_postgresql(repository)?,
            Need::Tool(tool) => set_up.programs.push((tool, prepare_tool(repository, tool)?)),
        }
    }
    Ok(set_up)
}

fn prepare_postgresql(repository: &Repository) -> Result<(), TaskError> {
    if let Some(place) = postgresql_place() {
        speech::say(&format!("PostgreSQL's server programs are in {}.", place.display()));
        return Ok(());
    }
    debian::install(repository, "postgresql", "the programs of a PostgreSQL server")?;
    match postgresql_place() {
        Some(place) => {
            speech::say(&format!("They are in {} now.", place.display()));
            Ok(())
        }
        None => Err(TaskError::Missing(format!(
            "the package `postgresql` is installed, but `initdb` is not under {DEBIAN_POSTGRESQL}"
        ))),
    }
}

/// Where the demo and the agent look too: a server elsewhere on the PATH is no help to them.
fn postgresql_place() -> Option<PathBuf> {
    let has_server = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    debian_postgresql_places().into_iter().find(has_server)
}

fn debian_postgresql_places() -> Vec<PathBuf> {
    let Ok(versions) = Path::new(DEBIAN_POSTGRESQL).read_dir() else {
        return Vec::new();
    };
    versions.flatten().map(|version| version.path().join("bin")).collect()
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The program that runs tests, installed if need be.
pub(crate) fn nextest(repository: &Repository) -> Result<PathBuf, TaskError> {
    prepare_tool(repository, Tool::CargoNextest)
}

fn prepare_tool(repository: &Repository, tool: Tool) -> Result<PathBuf, TaskError> {
    let own = repository.tools().join("bin").join(tool.name());
    let on_path = search_path().into_iter().map(|folder| folder.join(tool.name()));
    let fitting = on_path.chain([own.clone()]).find(|program| {
        program.is_file()
            && found_version(repository, tool, program).is_some_and(|found| found.serves(tool.version()))
    });
    if let Some(program) = fitting {
        speech::say(&format!("{} is {}.", tool.name(), program.display()));
        return Ok(program);
    }
    install_tool(repository, tool)?;
    Ok(own)
}

fn install_tool(repository: &Repository, tool: Tool) -> Result<(), TaskError> {
    let (version, folder) = (tool.version().to_string(), repository.tools());
    speech::say(&format!(
        "{} {version} is missing: building it into {}, which takes some minutes, once.",
        tool.name(),
        folder.display()
    ));
    Program::cargo(repository)
        .arguments(["install", "--locked", "--version", &version, "--root"])
        .arguments([folder.as_os_str()])
        .arguments([tool.name()])
        .run()
}

fn found_version(repository: &Repository, tool: Tool, program: &Path) -> Option<Version> {
    let output = Program::new(repository, program).arguments(tool.version_arguments()).output().ok()?;
    output.split_whitespace().find_map(Version::parse)
}

/// Major, minor and patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version([u32; 3]);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u32> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        numbers.try_into().ok().map(Self)
    }

    /// The same version, or a later patch of it: nobody has to build a tool that is at hand in a newer form.
    fn serves(self, wanted: Self) -> bool {
        self.0[..2] == wanted.0[..2] && self.0[2] >= wanted.0[2]
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(formatter, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_patch_serves_and_nothing_else() {
        let wanted = Version([0, 20, 2]);
        let serves = |text: &str| Version::parse(text).is_some_and(|found| found.serves(wanted));
        assert!(serves("0.20.2") && serves("0.20.3"));
        assert!(!serves("0.20.1") && !serves("0.21.2") && !serves("1.20.2"));
        assert!(!serves("cargo-deny") && !serves("0.20") && !serves("0.20.2-rc.1"));
    }
}
