//! Says when a set description appears.

/// Watches a folder store.
#[derive(Debug)]
pub struct FolderWatch;
