//! Programs from PyPI. Each set is pinned to the last dependency by version and digest (`xtask/python/*.txt`) and
//! installed into a virtual environment of its own below `target/tools/python`, anew only when its list has changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::debian;
use crate::error::TaskError;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;

/// Holds for a Python that can make the environments; the lists are written for this version and later ones.
const FITNESS: &str = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))";

/// Tried in this order; the newer ones for machines whose `python3` is too old.
const INTERPRETERS: [&str; 4] = ["python3", "python3.13", "python3.12", "python3.11"];

/// A pinned set of programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// The emulator of everything but EC2, and the `aws` command.
    Ministack,
    /// The emulator of EC2, and `cfn-lint`.
    Moto,
    /// What builds the functions for Lambda: `cargo-lambda`, and the linker `zig`.
    Packaging,
}

/// An environment that is ready.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    folder: PathBuf,
}

impl Installed {
    /// Where its programs are.
    pub(crate) fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }
}

impl Environment {
    fn name(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Moto => "moto",
            Self::Packaging => "packaging",
        }
    }

    fn list(self, repository: &Repository) -> PathBuf {
        repository.top().join("xtask").join("python").join(format!("{}.txt", self.name()))
    }

    fn folder(self, repository: &Repository) -> PathBuf {
        repository.tools().join("python").join(self.name())
    }

    /// The environment as its list has it, where that is installed already.
    pub(crate) fn find(self, repository: &Repository) -> Option<Installed> {
        let folder = self.folder(repository);
        let wanted = fs::read(self.list(repository)).ok()?;
        let is_ready =
            fs::read(stamp(&folder)).is_ok_and(|found| found == wanted) && works(repository, &folder);
        is_ready.then_some(Installed { folder })
    }

    /// The environment, installed when it is not there or its list has changed.
    pub(crate) fn prepare(self, repository: &Repository) -> Result<Installed, TaskError> {
        let _turn = self.wait_for_turn(repository)?;
        if let Some(installed) = self.find(repository) {
            return Ok(installed);
        }
        let folder = self.folder(repository);
        speech::progress(&format!(
            "Installing the pinned Python programs of `{}` into {}, which takes a minute or two, once.",
            self.name(),
            folder.display()
        ));
        self.install(repository, &folder)?;
        Ok(Installed { folder })
    }

    /// Two commands at the same time would install into the same folder.
    fn wait_for_turn(self, repository: &Repository) -> Result<File, TaskError> {
        let path = repository.tools().join("python").join(format!("{}.lock", self.name()));
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(|cause| TaskError::file(parent, cause))?;
        let file = File::create(&path).map_err(|cause| TaskError::file(&path, cause))?;
        file.lock().map_err(|cause| TaskError::file(&path, cause))?;
        Ok(file)
    }

    fn install(self, repository: &Repository, folder: &Path) -> Result<(), TaskError> {
        let interpreter = interpreter(repository)?;
        let list = self.list(repository);
        Program::new(repository, interpreter)
            .arguments(["-m", "venv", "--clear"])
            .arguments([folder])
            .beside_the_data()
            .run()?;
        Program::new(repository, folder.join("bin").join("python"))
            .arguments(["-m", "pip", "install", "--require-hashes", "--no-deps", "--quiet"])
            .arguments(["--disable-pip-version-check", "--no-input", "--requirement"])
            .arguments([&list])
            .beside_the_data()
            .run()?;
        // Last, so that an installation that was cut short is done again.
        fs::copy(&list, stamp(folder)).map_err(|cause| TaskError::file(&stamp(folder), cause))?;
        Ok(())
    }
}

/// A copy of the list that the environment was installed from.
fn stamp(folder: &Path) -> PathBuf {
    folder.join("installed-from.txt")
}

/// An environment is broken when the Python that it was made with is gone.
fn works(repository: &Repository, folder: &Path) -> bool {
    Program::new(repository, folder.join("bin").join("python")).arguments(["--version"]).succeeds_silently()
}

fn interpreter(repository: &Repository) -> Result<&'static str, TaskError> {
    if let Some(fitting) = fitting_interpreter(repository) {
        return Ok(fitting);
    }
    debian::install(
        repository,
        "python3-venv",
        "Python 3.11 or later with the modules `venv` and `ensurepip`",
    )?;
    fitting_interpreter(repository).ok_or_else(|| {
        TaskError::Missing(
            "the `python3` of this machine is older than 3.11: install a newer one, then run this again"
                .to_owned(),
        )
    })
}

fn fitting_interpreter(repository: &Repository) -> Option<&'static str> {
    let fits = |name: &&str| Program::new(repository, name).arguments(["-c", FITNESS]).succeeds_silently();
    INTERPRETERS.into_iter().find(fits)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn every_line_of_every_list_is_pinned_by_version_and_digest() {
        let repository = Repository::find().unwrap();
        for environment in [Environment::Ministack, Environment::Moto, Environment::Packaging] {
            let text = fs::read_to_string(environment.list(&repository)).unwrap();
            let packages = text.lines().filter(|line| !line.starts_with(' ')).count();
            let pinned = text.lines().filter(|line| line.contains("==") && line.ends_with('\\')).count();
            assert!(
                packages > 1 && packages == pinned,
                "{environment:?}: {packages} packages, {pinned} pinned"
            );
        }
    }
}
