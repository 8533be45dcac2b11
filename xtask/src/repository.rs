//! Where things are.

use std::path::{Path, PathBuf};

use crate::error::TaskError;

/// The checkout that this program was built from.
pub(crate) struct Repository {
    top: PathBuf,
}

impl Repository {
    /// The folder above this crate.
    pub(crate) fn find() -> Result<Self, TaskError> {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        match crate_folder.parent() {
            Some(top) if top.join("Cargo.toml").is_file() => Ok(Self { top: top.to_owned() }),
            _ => Err(TaskError::Missing(format!(
                "{} is gone: build this program again, with `cargo xtask`",
                crate_folder.display()
            ))),
        }
    }

    /// Every program is run from here.
    pub(crate) fn top(&self) -> &Path {
        &self.top
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => self.top.join(folder),
            None => self.top.join("target"),
        }
    }

    /// Where tools are installed that the machine does not have.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target().join("tools")
    }
}
