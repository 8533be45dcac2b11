//! The backup store: objects that are written once, in two buckets with a key each.
//!
//! `control` holds descriptions, signatures, configurations and reports and is read by the orchestrator;
//! `data` holds the customer's encrypted data and is not.

mod folder;
mod notification;
mod presence;

use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use rekindle_domain::ObjectKey;
use tokio::io::AsyncRead;

pub use folder::FolderStore;
pub use notification::FolderWatch;
pub use presence::get_or_not_found;

/// What is known of a stored object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDescription {
    /// Its key.
    pub key: ObjectKey,
    /// Its length.
    pub size_bytes: u64,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("the object {key} is not in the store")]
    NotFound {
        /// Its key.
        key: ObjectKey,
    },
    /// There is one already, and it was to be written only if there was none.
    #[error("the object {key} is in the store already")]
    AlreadyExists {
        /// Its key.
        key: ObjectKey,
    },
    /// It is longer than the caller reads.
    #[error("the object {key} has {found_bytes} bytes, more than the {limit_bytes} that are read")]
    TooLarge {
        /// Its key.
        key: ObjectKey,
        /// Its length.
        found_bytes: u64,
        /// What the caller reads at most.
        limit_bytes: u64,
    },
    /// The range does not lie within the object.
    #[error("the object {key} ends before byte {end}")]
    ShortObject {
        /// Its key.
        key: ObjectKey,
        /// Where the range was to end.
        end: u64,
    },
    /// The disk is full; nothing was written.
    #[error("the store has no space left for {key}")]
    NoSpace {
        /// The key.
        key: ObjectKey,
    },
    /// The store can never do this with this key: another object or something foreign is in its way.
    #[error("the store refuses the key {key}: {reason}")]
    Refused {
        /// The key.
        key: ObjectKey,
        /// What is in its way.
        reason: String,
    },
    /// Anything else; trying again may help.
    #[error("{what}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// The error underneath.
        #[source]
        source: std::io::Error,
    },
}

/// Bytes on their way into a store.
pub type ObjectBody = Pin<Box<dyn AsyncRead + Send>>;

/// One bucket.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Writes an object if there is none under its key (`If-None-Match: *`). Nobody sees a part of it, and once this
    /// returns it survives a loss of power.
    async fn put_new(&self, key: &ObjectKey, body: ObjectBody) -> Result<ObjectDescription, StoreError>;

    /// Writes an object, in place of the one that may be there.
    async fn put(&self, key: &ObjectKey, body: ObjectBody) -> Result<ObjectDescription, StoreError>;

    /// What is known of an object.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectDescription, StoreError>;

    /// A whole object of at most `limit_bytes`.
    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError>;

    /// A part of an object.
    async fn get_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// All objects under a prefix, which ends with a slash or is empty, in the order of their keys.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectDescription>, StoreError>;

    /// Removes an object. One that is not there is success.
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError>;
}
