//! Asking before something happens that cannot be undone.

use std::io::IsTerminal as _;

use crate::error::TaskError;
use crate::speech;

/// Whether a person, or `--yes`, wants this.
pub(crate) fn is_wanted(question: &str, is_yes_given: bool) -> Result<bool, TaskError> {
    if is_yes_given {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(TaskError::Missing(format!("{question} Nobody is there to be asked: give --yes")));
    }
    speech::ask(&format!("{question} [yes/no]"));
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|cause| TaskError::File { path: "standard input".to_owned(), cause })?;
    Ok(answer.trim() == "yes")
}
