//! Writing an object: in one request where it is short, in parts where it is not.

use bytes::{Bytes, BytesMut};
use rekindle_domain::ObjectKey;
use rekindle_store::{ObjectBody, ObjectDescription, StoreError};
use tokio::io::AsyncReadExt as _;

use aws_sdk_s3::types::ChecksumAlgorithm;

use crate::bucket::{Bucket, back_off};
use crate::failure::{Act, Kind, Refusal};

/// The length of a part, and of the longest object that is sent in one request. An upload has room for 10,000 parts.
pub(crate) const PART_BYTES: usize = 16 * 1024 * 1024;
/// How often an object is sent when others are at work on the same key.
const MOST_TRIES: u32 = 6;
/// The object's own attribute in which its writer left its mark.
pub(crate) const WRITER: &str = "rekindle-writer";

/// What has to hold for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There is no object under the key.
    Absent,
    /// Nothing.
    None,
}

impl Condition {
    /// As S3 wants it.
    pub(crate) fn if_none_match(self) -> Option<String> {
        (self == Self::Absent).then(|| "*".to_owned())
    }
}

/// One write: its key, its condition, and the mark by which it is recognised.
///
/// The client repeats a request whose answer was lost. When the first one had arrived after all, the second one is
/// told that there is such an object already, and the mark says that it is this write's own.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: ObjectKey,
    pub(crate) condition: Condition,
    pub(crate) mark: String,
}

impl Bucket {
    /// Writes an object.
    pub(crate) async fn write(
        &self,
        key: &ObjectKey,
        mut body: ObjectBody,
        condition: Condition,
    ) -> Result<ObjectDescription, StoreError> {
        let mark = format!("{:032x}", rand::random::<u128>());
        let write = Write { key: key.clone(), condition, mark };
        let first = next_part(key, &mut body).await?;
        // Only a full part can have another one after it.
        let second = if first.len() < PART_BYTES { Bytes::new() } else { next_part(key, &mut body).await? };
        let size_bytes = if second.is_empty() {
            self.write_whole(&write, first).await?
        } else {
            self.write_parts(&write, [first, second], body).await?
        };
        Ok(ObjectDescription { key: key.clone(), size_bytes })
    }

    /// Writes an object in one request, again where S3 asks for it.
    async fn write_whole(&self, write: &Write, content: Bytes) -> Result<u64, StoreError> {
        let size_bytes = content.len() as u64;
        let mut tries = 0;
        loop {
            match self.send_whole(write, content.clone()).await {
                Ok(()) => return Ok(size_bytes),
                Err(refusal) if refusal.kind == Kind::Conflict && tries + 1 < MOST_TRIES => {
                    back_off(tries).await;
                    tries += 1;
                }
                Err(refusal) if refusal.kind == Kind::Present && self.is_own(write).await? => {
                    return Ok(size_bytes);
                }
                Err(refusal) => return Err(refusal.into_error(self, &write.key)),
            }
        }
    }

    async fn send_whole(&self, write: &Write, content: Bytes) -> Result<(), Refusal> {
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(write.key.as_str())
            .metadata(WRITER, &write.mark)
            .set_if_none_match(write.condition.if_none_match())
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(content.into());
        request.send().await.map(drop).map_err(|error| Refusal::of(Act::Write, error))
    }

    /// Whether what lies under the key was put there by this very write.
    pub(crate) async fn is_own(&self, write: &Write) -> Result<bool, StoreError> {
        match self.describe(&write.key).await {
            Ok(found) => {
                let mark = found.metadata().and_then(|metadata| metadata.get(WRITER));
                Ok(mark == Some(&write.mark))
            }
            // A writer need not be allowed to read. Then what S3 said counts.
            Err(refusal) if matches!(refusal.kind, Kind::Absent | Kind::Denied) => Ok(false),
            Err(refusal) => Err(refusal.into_error(self, &write.key)),
        }
    }
}

/// The next part of a body, shorter than a part at its end only, and empty after that.
pub(crate) async fn next_part(key: &ObjectKey, body: &mut ObjectBody) -> Result<Bytes, StoreError> {
    let mut part = BytesMut::new();
    let mut limited = body.take(PART_BYTES as u64);
    loop {
        match limited.read_buf(&mut part).await {
            Ok(0) => return Ok(part.freeze()),
            Ok(_) => {}
            Err(source) => {
                let what = format!("reading the body of the object {key} failed");
                return Err(StoreError::Unavailable { what, source });
            }
        }
    }
}
