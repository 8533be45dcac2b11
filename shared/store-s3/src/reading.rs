//! Reading objects and parts of them. What arrives is exactly as long as was asked for, or an error.

use std::io;
use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use bytes::{Bytes, BytesMut};
use rekindle_domain::ObjectKey;
use rekindle_store::StoreError;

use crate::bucket::{Bucket, back_off};
use crate::failure::{Act, Kind, Refusal};

/// How often a body is asked for that broke off or was damaged. The client repeats requests only until their answer
/// has begun.
const MOST_TRIES: u32 = 3;

impl Bucket {
    /// A whole object of at most `limit_bytes`.
    ///
    /// The client compares its SHA-256, unless it was written in parts: then S3 keeps only one checksum for each part.
    pub(crate) async fn read(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let mut tries = 0;
        loop {
            let answer = self.ask(key, None).await.map_err(|refusal| refusal.into_error(self, key))?;
            let found_bytes = self.announced(key, &answer)?;
            if found_bytes > limit_bytes {
                return Err(StoreError::TooLarge { key: key.clone(), found_bytes, limit_bytes });
            }
            match collect(answer.body, found_bytes).await {
                Err(_) if tries + 1 < MOST_TRIES => back_off(tries).await,
                read => return read.map_err(|source| self.broken_off(key, source)),
            }
            tries += 1;
        }
    }

    /// A part of an object.
    pub(crate) async fn read_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        let Some(wanted_bytes) = range.end.checked_sub(range.start) else {
            return Err(self.broken_off(key, io::ErrorKind::InvalidInput.into()));
        };
        let short = || StoreError::ShortObject { key: key.clone(), end: range.end };
        if wanted_bytes == 0 {
            // HTTP has no empty ranges.
            return if range.end <= self.size_of(key).await? { Ok(Bytes::new()) } else { Err(short()) };
        }
        let mut tries = 0;
        loop {
            let answer = match self.ask(key, Some(&range)).await {
                Err(refusal) if refusal.kind == Kind::Range => return Err(short()),
                answer => answer.map_err(|refusal| refusal.into_error(self, key))?,
            };
            let found_bytes = self.announced(key, &answer)?;
            // S3 shortens a range that ends behind the object.
            if found_bytes < wanted_bytes {
                return Err(short());
            }
            if !is_from(&answer, range.start) || found_bytes > wanted_bytes {
                return Err(self.incomplete(key, "has another range than the one that was asked for"));
            }
            match collect(answer.body, wanted_bytes).await {
                Err(_) if tries + 1 < MOST_TRIES => back_off(tries).await,
                read => return read.map_err(|source| self.broken_off(key, source)),
            }
            tries += 1;
        }
    }

    async fn ask(&self, key: &ObjectKey, range: Option<&Range<u64>>) -> Result<GetObjectOutput, Refusal> {
        let request = self.client.get_object().bucket(&self.name).key(key.as_str());
        let request = match range {
            // The last byte is part of the range. No object is so long that S3 would have to count beyond an i64.
            Some(range) => {
                let last = (range.end - 1).min(i64::MAX.unsigned_abs());
                request.range(format!("bytes={}-{last}", range.start))
            }
            None => request.checksum_mode(ChecksumMode::Enabled),
        };
        request.send().await.map_err(|error| Refusal::of(Act::Read, error))
    }

    /// How long S3 says that the body is.
    fn announced(&self, key: &ObjectKey, answer: &GetObjectOutput) -> Result<u64, StoreError> {
        let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
        length.ok_or_else(|| self.incomplete(key, "did not say how long the object is"))
    }

    fn broken_off(&self, key: &ObjectKey, source: io::Error) -> StoreError {
        StoreError::Unavailable {
            what: format!("reading the object {key} in bucket {} failed", self.name),
            source,
        }
    }
}

/// Whether an answer begins at this byte of the object.
fn is_from(answer: &GetObjectOutput, start: u64) -> bool {
    answer.content_range().is_some_and(|range| range.starts_with(&format!("bytes {start}-")))
}

/// A body of exactly this length.
async fn collect(mut body: ByteStream, wanted_bytes: u64) -> io::Result<Bytes> {
    let wanted = usize::try_from(wanted_bytes).or(Err(io::ErrorKind::OutOfMemory))?;
    let mut content = BytesMut::with_capacity(wanted);
    while let Some(piece) = body.try_next().await.map_err(io::Error::other)? {
        if piece.len() > wanted - content.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes came than were announced"));
        }
        content.extend_from_slice(&piece);
    }
    if content.len() < wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(content.freeze())
}
