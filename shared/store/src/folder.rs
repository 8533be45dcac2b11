//! A bucket in a local folder.

/// A bucket in a local folder.
#[derive(Debug, Clone)]
pub struct FolderStore;
