//! Asking before something happens that cannot be undone.

use std::io::IsTerminal as _;

use crate::error::TaskError;
use crate::speech;

/// Goes on when a person, or `--yes`, wants this. Otherwise it ends, and says what was not done.
pub(crate) fn obtain(question: &str, is_yes_given: bool, not_done: &'static str) -> Result<(), TaskError> {
    if is_yes_given {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(TaskError::Missing(format!("{question} Nobody is there to be asked: give --yes")));
    }
    speech::ask(&format!("{question} [yes/no]"));
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|cause| TaskError::File { path: "standard input".to_owned(), cause })?;
    judge(&answer, not_done)
}

/// Only the whole word is a yes.
fn judge(answer: &str, not_done: &'static str) -> Result<(), TaskError> {
    if answer.trim() == "yes" { Ok(()) } else { Err(TaskError::NotAgreed(not_done)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_says_anything_but_yes_has_not_agreed() {
        assert!(judge(" yes\n", "made").is_ok());
        for answer in ["", "\n", "no\n", "y\n", "YES\n", "yes please\n"] {
            assert!(matches!(judge(answer, "made"), Err(TaskError::NotAgreed("made"))), "{answer:?}");
        }
    }
}
