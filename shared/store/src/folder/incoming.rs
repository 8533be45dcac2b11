//! Files on their way into the store.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use rekindle_domain::ObjectKey;
use tokio::io::AsyncReadExt as _;

use super::directory::Directory;
use super::{Folder, failure, run_blocking};
use crate::{ObjectBody, StoreError};

/// The hidden folder in the bucket. No key can name it, for a key has no tilde.
pub(super) const INCOMING_FOLDER: &str = ".incoming~";
/// Far longer than any writer rests between two writes.
const LEFT_BEHIND_AFTER: Duration = Duration::from_hours(1);
/// Large enough that the way to the blocking thread costs nothing, small enough for many writers at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A file on its way into the store. It removes itself unless it was placed.
#[derive(Debug)]
pub(super) struct Incoming {
    folder: Directory,
    name: String,
    file: Option<File>,
    pub(super) size_bytes: u64,
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let root = Directory::open(path)?;
        let incoming = root.child_or_new(INCOMING_FOLDER)?;
        Ok(Self { path: path.to_owned(), root, incoming })
    }

    /// Begins to receive an object.
    pub(super) fn begin(&self) -> io::Result<Incoming> {
        let folder = self.root.child_or_new(INCOMING_FOLDER)?;
        loop {
            let name = fresh_name();
            match folder.create_file(&name) {
                Ok(file) => return Ok(Incoming { folder, name, file: Some(file), size_bytes: 0 }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes what writers that crashed have left behind.
    pub(super) fn clear_leftovers(&self) {
        let now = SystemTime::now();
        for name in self.incoming.names().unwrap_or_default() {
            let age = self.incoming.written_at(&name).ok().and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age > LEFT_BEHIND_AFTER) {
                // What cannot be removed now is in nobody's way: the next open tries again.
                if let Err(error) = self.incoming.remove_file(&name) {
                    tracing::warn!(%error, name, "a file that a crash left in the store could not be removed");
                }
            }
        }
    }
}

/// A name that no other writer has, in this process or another one.
fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{count}", since_epoch.as_nanos(), std::process::id())
}

impl Incoming {
    /// Writes the whole body and makes it durable.
    pub(super) async fn fill(mut self, key: &ObjectKey, mut body: ObjectBody) -> Result<Self, StoreError> {
        loop {
            let chunk =
                read_chunk(&mut body).await.map_err(|source| failure(key, "reading the body of", source))?;
            let is_last = chunk.is_empty();
            let wanted = key.clone();
            self = run_blocking(move || {
                let written = if is_last { self.finish() } else { self.write(&chunk) };
                written.map_err(|source| failure(&wanted, "writing", source))?;
                Ok(self)
            })
            .await?;
            if is_last {
                return Ok(self);
            }
        }
    }

    fn write(&mut self, chunk: &Bytes) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(chunk)?;
            self.size_bytes += chunk.len() as u64;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), |file| file.sync_all())
    }

    /// Gives the file its name, in place of what may be there.
    pub(super) fn move_to(&self, target: &Directory, name: &str) -> io::Result<()> {
        self.folder.move_file(&self.name, target, name)
    }

    /// Gives the file its name if that is free.
    pub(super) fn move_to_new(&self, target: &Directory, name: &str) -> io::Result<()> {
        self.folder.move_new_file(&self.name, target, name)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After a placement there is nothing under this name any more.
        if let Err(error) = self.folder.remove_file(&self.name) {
            tracing::warn!(%error, name = self.name, "an unfinished file stays in the store until it is opened again");
        }
    }
}

/// The next part of a body; empty at its end.
async fn read_chunk(body: &mut ObjectBody) -> io::Result<Bytes> {
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
    while chunk.len() < CHUNK_BYTES {
        if body.read_buf(&mut chunk).await? == 0 {
            break;
        }
    }
    Ok(chunk.freeze())
}
