//! Where one run of the emulators keeps its logs and its temporary files.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::TaskError;
use crate::repository::Repository;

/// Held while the emulators run; logs stay until the next run, temporary files do not.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Makes the folder, and removes those of runs that have ended.
    pub(super) fn create(repository: &Repository, port: u16) -> Result<Self, TaskError> {
        let all = repository.target().join("emulators");
        remove_ended(&all);
        let path = all.join(port.to_string());
        let temporary = temporary(&path);
        fs::create_dir_all(&temporary).map_err(|cause| TaskError::file(&temporary, cause))?;
        let lock = lock(&path);
        let file = File::create(&lock).map_err(|cause| TaskError::file(&lock, cause))?;
        file.lock().map_err(|cause| TaskError::file(&lock, cause))?;
        Ok(Self { path, _lock: file })
    }

    /// Where the logs are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the emulators may fill.
    pub(super) fn temporary(&self) -> PathBuf {
        temporary(&self.path)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Otherwise the next run does it.
        let _ = fs::remove_dir_all(self.temporary());
    }
}

fn temporary(folder: &Path) -> PathBuf {
    folder.join("temporary")
}

fn lock(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// Whoever runs holds a lock, which the kernel takes back however the run ends.
fn remove_ended(all: &Path) {
    let Ok(folders) = all.read_dir() else {
        return;
    };
    for folder in folders.flatten().map(|entry| entry.path()) {
        let Ok(file) = File::open(lock(&folder)) else {
            continue;
        };
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn only_folders_of_ended_runs_are_removed() {
        let all = tempfile::tempdir().unwrap();
        let (ended, running) = (all.path().join("1"), all.path().join("2"));
        for folder in [&ended, &running] {
            fs::create_dir_all(temporary(folder)).unwrap();
            File::create(lock(folder)).unwrap();
        }
        let held = File::open(lock(&running)).unwrap();
        held.lock().unwrap();
        remove_ended(all.path());
        assert!(!ended.exists() && running.exists());
    }
}
