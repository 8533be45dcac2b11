//! Compresses, encrypts and cuts a stream into objects, with two objects in memory at most.

use std::fs::File;
use std::io::{self, Read, Write};

use rekindle_domain::backup_set::ObjectRole;
use rekindle_domain::{Bytes, Digest, ObjectKey, SetObject};
use rekindle_step::{ErrorName, StepError};
use tokio::sync::mpsc;

use super::BackupRequest;
use crate::error::{failed, system};
use crate::keys::Recipient;
use crate::transfer::store_error;

/// An object that is in the store.
pub(super) type StoredObject = SetObject;

const COMPRESSION_LEVEL: i32 = 3;

/// Stores what comes out of a pipe as numbered objects under a prefix.
pub(super) async fn store_stream(
    request: &BackupRequest,
    prefix: &str,
    pipe: File,
) -> Result<(Vec<StoredObject>, u64), StepError> {
    let limit = request.configuration.backup.object_mebibytes as usize * 1024 * 1024;
    let recipients = request.recipients.clone();
    let (sender, receiver) = mpsc::channel(1);
    let encoding = tokio::task::spawn_blocking(move || {
        encode(pipe, &recipients, ObjectCutter { sender, limit, current: Vec::new() })
    });
    let (stored, encoded) = tokio::join!(store_all(request, prefix, receiver), encoding);
    let objects = stored?;
    let encoded = encoded.map_err(|error| failed("encoding ended unexpectedly").because(error))?;
    let read_bytes =
        encoded.map_err(|error| system("reading, compressing or encrypting the data failed", error))?;
    Ok((objects, read_bytes))
}

async fn store_all(
    request: &BackupRequest,
    prefix: &str,
    mut receiver: mpsc::Receiver<Vec<u8>>,
) -> Result<Vec<StoredObject>, StepError> {
    let mut objects = Vec::new();
    while let Some(bytes) = receiver.recv().await {
        let order = u32::try_from(objects.len()).map_err(|_| too_many())?;
        if objects.len() + 1 >= rekindle_domain::backup_set::MOST_OBJECTS {
            return Err(too_many());
        }
        let key = ObjectKey::parse(&format!("{prefix}data-{order:05}.zst.age"))
            .map_err(|error| failed("naming an object failed").because(error))?;
        objects.push(store_one(request, key, bytes, ObjectRole::Data, order).await?);
    }
    Ok(objects)
}

fn too_many() -> StepError {
    StepError::new(ErrorName::AgentFailed, "the set would have more objects than instances read")
        .next_step("Choose larger objects: backup.object_mebibytes in agent.toml")
}

async fn store_one(
    request: &BackupRequest,
    key: ObjectKey,
    bytes: Vec<u8>,
    role: ObjectRole,
    order: u32,
) -> Result<StoredObject, StepError> {
    let (size_bytes, sha256) = (Bytes(bytes.len() as u64), Digest::of(&bytes));
    request.data.put_new(&key, Box::pin(io::Cursor::new(bytes))).await.map_err(store_error)?;
    Ok(SetObject { key, size_bytes, sha256, role, order })
}

/// Stores a small object.
pub(super) async fn encode_small(
    request: &BackupRequest,
    key: ObjectKey,
    plain: &[u8],
    role: ObjectRole,
) -> Result<StoredObject, StepError> {
    let bytes = encode_into(plain, &request.recipients, Vec::new())
        .map_err(|error| system("encrypting the expectations failed", error))?
        .1;
    store_one(request, key, bytes, role, 0).await
}

fn encode(input: impl Read, recipients: &[Recipient], output: ObjectCutter) -> io::Result<u64> {
    let (read_bytes, cutter) = encode_into(input, recipients, output)?;
    cutter.finish()?;
    Ok(read_bytes)
}

fn encode_into<W: Write>(mut input: impl Read, recipients: &[Recipient], output: W) -> io::Result<(u64, W)> {
    let recipients = recipients.iter().map(|recipient| {
        let recipient: &dyn age::Recipient = recipient.key();
        recipient
    });
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
    let encrypted = encryptor.wrap_output(output)?;
    let mut compressed = zstd::stream::write::Encoder::new(encrypted, COMPRESSION_LEVEL)?;
    let read_bytes = io::copy(&mut input, &mut compressed)?;
    Ok((read_bytes, compressed.finish()?.finish()?))
}

/// Cuts a stream into objects of one size and hands them to whoever stores them.
struct ObjectCutter {
    sender: mpsc::Sender<Vec<u8>>,
    limit: usize,
    current: Vec<u8>,
}

impl ObjectCutter {
    fn hand_over(&mut self) -> io::Result<()> {
        let full = std::mem::take(&mut self.current);
        self.sender.blocking_send(full).map_err(|_| io::Error::other("the store does not take more objects"))
    }

    fn finish(mut self) -> io::Result<()> {
        if self.current.is_empty() { Ok(()) } else { self.hand_over() }
    }
}

impl Write for ObjectCutter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.limit - self.current.len());
        self.current.extend_from_slice(&bytes[..count]);
        if self.current.len() == self.limit {
            self.hand_over()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
