//! A bucket in a local folder.
//!
//! An object is received into a hidden folder of the same file system, made durable there, and then given its name in
//! one step: nobody ever sees a part of it, and a crash leaves nothing but a hidden file that the next open clears.

mod directory;
mod incoming;
mod listing;
mod placement;

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use rekindle_domain::ObjectKey;

use self::directory::Directory;
use self::incoming::Incoming;
use crate::{ObjectBody, ObjectDescription, ObjectStore, StoreError};

/// A bucket in a local folder.
///
/// Symbolic links inside the folder are never followed; the folder itself may be reached through one. Objects are
/// readable by the owner of the folder only.
#[derive(Debug, Clone)]
pub struct FolderStore {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    root: Directory,
    incoming: Directory,
}

impl FolderStore {
    /// Opens the bucket in this folder, which is created when it is missing, and clears what a crash left behind more
    /// than an hour ago.
    ///
    /// # Errors
    /// When the folder can neither be found nor made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = root.into();
        let folder = Folder::open(&path).map_err(|source| StoreError::Unavailable {
            what: format!("the folder {} cannot be used as a store", path.display()),
            source,
        })?;
        folder.clear_leftovers();
        Ok(Self { folder: Arc::new(folder) })
    }

    /// Where the bucket lies.
    pub fn path(&self) -> &Path {
        &self.folder.path
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    {
        let folder = Arc::clone(&self.folder);
        run_blocking(move || work(&folder)).await
    }

    async fn receive(&self, key: &ObjectKey, body: ObjectBody) -> Result<Incoming, StoreError> {
        let wanted = key.clone();
        let incoming = self
            .blocking(move |folder| folder.begin().map_err(|source| failure(&wanted, "receiving", source)))
            .await?;
        incoming.fill(key, body).await
    }
}

async fn run_blocking<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|source| {
        Err(StoreError::Unavailable {
            what: "work on the store's files was broken off".to_owned(),
            source: io::Error::other(source),
        })
    })
}

#[async_trait]
impl ObjectStore for FolderStore {
    async fn put_new(&self, key: &ObjectKey, body: ObjectBody) -> Result<ObjectDescription, StoreError> {
        let wanted = key.clone();
        // Only spares the work of receiving in vain; what counts is the placement.
        self.blocking(move |folder| folder.refuse_existing(&wanted)).await?;
        let incoming = self.receive(key, body).await?;
        let key = key.clone();
        self.blocking(move |folder| folder.place_new(&key, incoming)).await
    }

    async fn put(&self, key: &ObjectKey, body: ObjectBody) -> Result<ObjectDescription, StoreError> {
        let incoming = self.receive(key, body).await?;
        let key = key.clone();
        self.blocking(move |folder| folder.place(&key, incoming)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectDescription, StoreError> {
        let key = key.clone();
        self.blocking(move |folder| {
            let size_bytes = folder.open_object(&key)?.size_bytes;
            Ok(ObjectDescription { key, size_bytes })
        })
        .await
    }

    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let key = key.clone();
        self.blocking(move |folder| {
            let object = folder.open_object(&key)?;
            if object.size_bytes > limit_bytes {
                return Err(StoreError::TooLarge { key, found_bytes: object.size_bytes, limit_bytes });
            }
            read_range(&key, &object, 0..object.size_bytes)
        })
        .await
    }

    async fn get_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        let key = key.clone();
        self.blocking(move |folder| {
            let object = folder.open_object(&key)?;
            if range.end > object.size_bytes {
                return Err(StoreError::ShortObject { key, end: range.end });
            }
            read_range(&key, &object, range)
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectDescription>, StoreError> {
        let prefix = prefix.to_owned();
        self.blocking(move |folder| folder.list(&prefix)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.blocking(move |folder| folder.remove(&key)).await
    }
}

/// An object that is open for reading. It stays whole even when its name is given to another one meanwhile.
struct OpenObject {
    file: std::fs::File,
    size_bytes: u64,
}

fn read_range(key: &ObjectKey, object: &OpenObject, range: Range<u64>) -> Result<Bytes, StoreError> {
    let length = range.end.checked_sub(range.start).ok_or(io::ErrorKind::InvalidInput);
    let length = length.and_then(|length| usize::try_from(length).or(Err(io::ErrorKind::OutOfMemory)));
    let read = length.map_err(io::Error::from).and_then(|length| {
        let mut bytes = BytesMut::zeroed(length);
        object.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.freeze())
    });
    read.map_err(|source| failure(key, "reading", source))
}

/// The store's error for one of the file system.
fn failure(key: &ObjectKey, doing: &str, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::NoSpace { key: key.clone() },
        _ => StoreError::Unavailable { what: format!("{doing} the object {key} failed"), source },
    }
}

#[cfg(test)]
mod tests;
