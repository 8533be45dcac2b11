//! Fetches objects with several ranges in flight, in order, and holds each against its signed digest.

use futures::StreamExt as _;
use futures::stream;
use rekindle_domain::SetObject;
use rekindle_step::{ErrorName, StepError};
use rekindle_store::{ObjectStore, StoreError};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::description::store_error;
use crate::jobs::Progress;

/// One request asks for this much.
const RANGE_BYTES: u64 = 4 * 1024 * 1024;
/// So many requests are under way at once; with the range's size this bounds what is held in memory.
const RANGES_IN_FLIGHT: usize = 4;

/// A piece of the stream, or the news that all of it came and every digest matched.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// The next bytes.
    Bytes(bytes::Bytes),
    /// All objects were as they were signed. Without this, an end is an end too early.
    Verified,
}

/// Checks that every object is there with its signed size, before anything is fetched.
pub(crate) async fn check_presence(data: &dyn ObjectStore, objects: &[SetObject]) -> Result<(), StepError> {
    let mut described = stream::iter(objects)
        .map(|object| async move { (object, data.head(&object.key).await) })
        .buffered(2 * RANGES_IN_FLIGHT);
    while let Some((object, description)) = described.next().await {
        check_size(object, description.map_err(not_given)?.size_bytes)?;
    }
    Ok(())
}

fn check_size(object: &SetObject, found_bytes: u64) -> Result<(), StepError> {
    let name = match found_bytes.cmp(&object.size_bytes.0) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => ErrorName::ObjectTruncated,
        std::cmp::Ordering::Greater => ErrorName::ObjectCorrupt,
    };
    Err(StepError::new(
        name,
        format!("the object {} has {found_bytes} bytes, and {} were signed", object.key, object.size_bytes.0),
    )
    .next_step(DAMAGED))
}

const DAMAGED: &str = "The backup store is damaged or was tampered with: take a new full backup";

/// Fetches objects in the order given and sends their bytes on, then [`Chunk::Verified`] when every digest matched.
///
/// Returns early without an error when the receiver is gone: whoever decodes has the better one.
pub(crate) async fn fetch_verified(
    data: &dyn ObjectStore,
    objects: &[SetObject],
    sender: mpsc::Sender<Chunk>,
    progress: &Progress,
) -> Result<(), StepError> {
    let mut ranges = stream::iter(ranges_of(objects))
        .map(|(index, range)| async move {
            let Some(object) = objects.get(index) else { return (index, Ok(bytes::Bytes::new())) };
            (index, data.get_range(&object.key, range).await)
        })
        .buffered(RANGES_IN_FLIGHT);
    let mut current = 0;
    let mut hash = Sha256::new();
    while let Some((index, bytes)) = ranges.next().await {
        while current < index {
            check_digest(objects, current, std::mem::take(&mut hash))?;
            current += 1;
        }
        let bytes = bytes.map_err(not_given)?;
        hash.update(&bytes);
        progress.add(bytes.len() as u64);
        if sender.send(Chunk::Bytes(bytes)).await.is_err() {
            return Ok(());
        }
    }
    while current < objects.len() {
        check_digest(objects, current, std::mem::take(&mut hash))?;
        current += 1;
    }
    let _ = sender.send(Chunk::Verified).await;
    Ok(())
}

fn not_given(error: StoreError) -> StepError {
    match &error {
        StoreError::NotFound { .. } | StoreError::ShortObject { .. } => store_error(error).next_step(DAMAGED),
        _ => store_error(error),
    }
}

fn check_digest(objects: &[SetObject], index: usize, hash: Sha256) -> Result<(), StepError> {
    let Some(object) = objects.get(index) else { return Ok(()) };
    if hex::encode(hash.finalize()) == object.sha256.as_str() {
        return Ok(());
    }
    Err(StepError::new(
        ErrorName::ObjectCorrupt,
        format!("the bytes of the object {} are not the ones that were signed", object.key),
    )
    .next_step(DAMAGED))
}

fn ranges_of(objects: &[SetObject]) -> impl Iterator<Item = (usize, std::ops::Range<u64>)> {
    objects.iter().enumerate().flat_map(|(index, object)| {
        let size = object.size_bytes.0;
        (0..size.div_ceil(RANGE_BYTES)).map(move |nth| {
            let start = nth * RANGE_BYTES;
            (index, start..size.min(start + RANGE_BYTES))
        })
    })
}
