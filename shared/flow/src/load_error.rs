//! Why a file was refused.

/// A file that this crate refuses to run: which file, which state, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {}{reason}", state.as_ref().map(|name| format!("state {name:?}: ")).unwrap_or_default())]
pub struct LoadError {
    /// The file as it was named to the loader.
    pub file: String,
    /// The state the fault is in; `None` when it is the machine's own.
    pub state: Option<String>,
    /// What is wrong, in one sentence.
    pub reason: String,
}
