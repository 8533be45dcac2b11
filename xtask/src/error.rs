//! Why a task ends without success.

use std::path::Path;
use std::process::ExitCode;

/// Each reason in one sentence, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// The program is not there, or may not be run.
    #[error("{program} cannot be started: {cause}")]
    NotStarted { program: String, cause: std::io::Error },
    /// The program ran and said no.
    #[error("{command} failed{}", exit_words(*.code))]
    Failed { command: String, code: Option<i32> },
    /// A file or folder could not be read or written.
    #[error("{path}: {cause}")]
    File { path: String, cause: std::io::Error },
    /// The machine lacks something that this program may not install by itself.
    #[error("{0}")]
    Missing(String),
    /// A check of our own did not hold.
    #[error("{0}")]
    CheckFailed(String),
    /// A person was asked, and did not say yes.
    #[error("not agreed to: nothing was {0}")]
    NotAgreed(&'static str),
    /// However it went, things that were made on the way may still be there.
    #[error("{why}\nThis may still be there, and is yours to remove:\n  {}", .left.join("\n  "))]
    Leftovers { why: String, left: Vec<String> },
    /// Somebody pressed Ctrl-C, or asked for the end in another way.
    #[error("interrupted; what was started is ended")]
    Interrupted,
}

fn exit_words(code: Option<i32>) -> String {
    code.map_or_else(|| ": it was ended by a signal".to_owned(), |code| format!(" with exit code {code}"))
}

impl TaskError {
    /// A file or folder that could not be read or written.
    pub(crate) fn file(path: &Path, cause: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), cause }
    }

    /// As the help of every verb has it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The exit code of the program that failed, where it gave one.
    fn code(&self) -> u8 {
        match self {
            Self::Failed { code: Some(code), .. } => u8::try_from(*code).unwrap_or(1).max(1),
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let failed = |code| TaskError::Failed { command: "aws".to_owned(), code };
        let left = TaskError::Leftovers { why: "interrupted".to_owned(), left: vec!["a key".to_owned()] };
        for (error, code) in [
            (TaskError::NotAgreed("made"), 1),
            (TaskError::Missing("x".to_owned()), 1),
            (TaskError::CheckFailed("x".to_owned()), 1),
            (left, 1),
            (TaskError::Interrupted, 130),
            (failed(Some(254)), 254),
            (failed(Some(0)), 1),
            (failed(None), 1),
        ] {
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
