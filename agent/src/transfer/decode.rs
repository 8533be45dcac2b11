//! Decrypts and decompresses a stream of chunks on a thread of its own.

use std::io::{self, Read, Write};

use rekindle_step::{ErrorName, StepError};
use tokio::sync::mpsc;

use super::fetch::Chunk;
use crate::error::system;
use crate::keys::DataIdentity;

/// Tells a transfer that was cut off from a stream that is damaged.
const CUT_OFF: &str = "the transfer was cut off";

/// What decoding ended with: how many bytes it gave, and whether the other side broke.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// The whole stream was written.
    All(u64),
    /// The stream ended early because fetching stopped; the fetching has the reason.
    CutOff,
    /// The receiver stopped reading; it has the reason.
    ReceiverGone,
}

/// Decodes what arrives and writes it. Blocking: call it where blocking is allowed.
///
/// Damaged bytes are reported only after the rest was taken: whoever fetches then knows whether they are the bytes
/// that were signed, which is the better error.
pub(crate) fn decode_into(
    chunks: &mut mpsc::Receiver<Chunk>,
    identity: &DataIdentity,
    output: &mut dyn Write,
) -> Result<Decoded, StepError> {
    let mut input = ChunkReader { chunks, current: bytes::Bytes::new(), ended: false };
    match copy(&mut input, identity, output) {
        Ok(count) => input.expect_end().map(|end| if end { Decoded::All(count) } else { Decoded::CutOff }),
        Err(CopyError::Reading(error)) => input.after_damage(
            is_cut_off(&error),
            damaged("a data object could not be decrypted or decompressed").because(error),
        ),
        Err(CopyError::Opening(error)) => input.after_damage(opening_cut_off(&error), not_opened(error)),
        Err(CopyError::Writing(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Decoded::ReceiverGone)
        }
        Err(CopyError::Writing(error)) => Err(system("writing restored data failed", error)),
    }
}

fn opening_cut_off(error: &age::DecryptError) -> bool {
    matches!(error, age::DecryptError::Io(error) if is_cut_off(error))
}

fn not_opened(error: age::DecryptError) -> StepError {
    match error {
        age::DecryptError::NoMatchingKeys => {
            damaged("the set is not encrypted to this instance's data identity")
                .next_step("Hand the builder the identity whose recipient the backups are encrypted to")
        }
        other => damaged("a data object is not readable as age").because(other),
    }
}

/// Decodes a small object that was verified already.
pub(crate) fn decode_all(
    bytes: &[u8],
    identity: &DataIdentity,
    limit_bytes: u64,
) -> Result<Vec<u8>, StepError> {
    let reason = |error: io::Error| {
        damaged("the expectations of a set could not be decrypted or decompressed").because(error)
    };
    let plain = decryptor(bytes, identity).map_err(not_opened)?;
    let mut output = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(plain).map_err(reason)?;
    decoder.take(limit_bytes + 1).read_to_end(&mut output).map_err(reason)?;
    if output.len() as u64 > limit_bytes {
        return Err(damaged("the expectations of a set are longer than what is read"));
    }
    Ok(output)
}

fn damaged(what: &str) -> StepError {
    StepError::new(ErrorName::DecryptionFailed, what)
}

enum CopyError {
    Opening(age::DecryptError),
    Reading(io::Error),
    Writing(io::Error),
}

fn copy<R: Read>(input: R, identity: &DataIdentity, output: &mut dyn Write) -> Result<u64, CopyError> {
    let plain = decryptor(input, identity).map_err(CopyError::Opening)?;
    let mut decoder = zstd::stream::read::Decoder::new(plain).map_err(CopyError::Reading)?;
    let mut buffer = vec![0_u8; 256 * 1024];
    let mut count = 0_u64;
    loop {
        let read = match decoder.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Reading(error)),
        };
        output.write_all(&buffer[..read]).map_err(CopyError::Writing)?;
        count += read as u64;
    }
    output.flush().map_err(CopyError::Writing)?;
    Ok(count)
}

fn decryptor<R: Read>(
    input: R,
    identity: &DataIdentity,
) -> Result<age::stream::StreamReader<R>, age::DecryptError> {
    let identity: &dyn age::Identity = identity.key();
    age::Decryptor::new(input)?.decrypt(std::iter::once(identity))
}

fn is_cut_off(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted && error.to_string().contains(CUT_OFF)
}

struct ChunkReader<'a> {
    chunks: &'a mut mpsc::Receiver<Chunk>,
    current: bytes::Bytes,
    ended: bool,
}

impl ChunkReader<'_> {
    /// Whether the news came that every digest matched. More bytes than the stream needs are damage.
    fn expect_end(&mut self) -> Result<bool, StepError> {
        let mut rest = [0_u8; 1];
        match self.read(&mut rest) {
            Ok(0) => Ok(true),
            Ok(_) => {
                self.after_damage(false, damaged("there are bytes after the end of the data")).map(|_| false)
            }
            Err(_) => Ok(false),
        }
    }

    fn after_damage(&mut self, cut_off: bool, error: StepError) -> Result<Decoded, StepError> {
        if cut_off {
            return Ok(Decoded::CutOff);
        }
        while self.chunks.blocking_recv().is_some() {}
        Err(error)
    }
}

impl Read for ChunkReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(Chunk::Bytes(bytes)) => self.current = bytes,
                Some(Chunk::Verified) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, CUT_OFF)),
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
