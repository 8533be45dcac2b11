//! How errors of the agent get their stable names.

use std::io;
use std::path::Path;

use rekindle_step::{ErrorName, StepError};

/// The agent met something that it has no better name for.
pub(crate) fn failed(what: impl Into<String>) -> StepError {
    StepError::new(ErrorName::AgentFailed, what)
}

/// A description of a set that contradicts what the instance knows.
pub(crate) fn refused(what: impl Into<String>) -> StepError {
    StepError::new(ErrorName::SetRefused, what)
}

/// An error of the operating system while something was done; a full disk has a name of its own.
pub(crate) fn system(what: impl Into<String>, error: io::Error) -> StepError {
    if is_disk_full(&error) {
        return StepError::new(ErrorName::DiskFull, what)
            .because(error)
            .next_step("Give the instance a larger disk, or restore with less on it");
    }
    failed(what).because(error)
}

/// The same for a file: the sentence names it.
pub(crate) fn file(doing: &str, path: &Path, error: io::Error) -> StepError {
    system(format!("{doing} {} failed", path.display()), error)
}

/// Whether the operating system had no space left, for anybody or for this user.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_a_name_of_its_own() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert_eq!(system("writing failed", kind.into()).name, ErrorName::DiskFull);
        }
        assert_eq!(system("writing failed", io::ErrorKind::NotFound.into()).name, ErrorName::AgentFailed);
    }
}
