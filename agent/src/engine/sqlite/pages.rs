//! Pages of a database file and their digests.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use rekindle_step::StepError;
use sha2::{Digest as _, Sha256};

use crate::error::{failed, file};
use crate::files::{read_bounded, write_atomically};

const HEADER: &[u8; 16] = b"SQLite format 3\0";
/// One page's digest.
pub(super) type PageDigest = [u8; 32];
/// So many digests are a database of 8 TB in 4 KiB pages; more is a mistake.
const LONGEST_STATE_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// The digests of all pages of a database file, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageDigests {
    pub(super) page_size: u32,
    pub(super) digests: Vec<PageDigest>,
}

impl PageDigests {
    /// One read of the whole file.
    pub(super) fn of_file(path: &Path) -> Result<Self, StepError> {
        let reading = |error| file("reading the database", path, error);
        let opened = File::open(path).map_err(reading)?;
        let length = opened.metadata().map_err(reading)?.len();
        let mut input = BufReader::with_capacity(1024 * 1024, opened);
        let mut header = [0_u8; 100];
        input.read_exact(&mut header).map_err(reading)?;
        let page_size = page_size_of(&header, path)?;
        if !length.is_multiple_of(u64::from(page_size)) {
            return Err(failed(format!("{} does not end with a whole page", path.display()))
                .next_step("Nobody may write it while it is read: stop the engine first"));
        }
        let mut digests = Vec::with_capacity(usize::try_from(length / u64::from(page_size)).unwrap_or(0));
        let mut page = vec![0_u8; page_size as usize];
        page[..header.len()].copy_from_slice(&header);
        input.read_exact(&mut page[header.len()..]).map_err(reading)?;
        digests.push(digest_of(&page));
        for _ in 1..length / u64::from(page_size) {
            input.read_exact(&mut page).map_err(reading)?;
            digests.push(digest_of(&page));
        }
        Ok(Self { page_size, digests })
    }

    /// The position: equal for equal files, and for no others.
    pub(super) fn generation(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"rekindle sqlite generation 1\n");
        hash.update(self.page_size.to_le_bytes());
        hash.update((self.digests.len() as u64).to_le_bytes());
        for digest in &self.digests {
            hash.update(digest);
        }
        hex::encode(hash.finalize())
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), StepError> {
        let mut bytes = Vec::with_capacity(4 + self.digests.len() * 32);
        bytes.extend_from_slice(&self.page_size.to_le_bytes());
        bytes.extend_from_slice(self.digests.as_flattened());
        write_atomically(path, &bytes, 0o600)
    }

    pub(super) fn read(path: &Path) -> Result<Self, StepError> {
        let unusable = || {
            failed(format!("the page digests of the last set at {} are missing or damaged", path.display()))
                .next_step("Take a full backup")
        };
        let bytes = read_bounded(path, LONGEST_STATE_BYTES)?.ok_or_else(unusable)?;
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(unusable)?;
        let (digests, odd) = rest.as_chunks::<32>();
        if !odd.is_empty() || digests.is_empty() {
            return Err(unusable());
        }
        Ok(Self { page_size: u32::from_le_bytes(*size), digests: digests.to_vec() })
    }
}

pub(super) fn digest_of(page: &[u8]) -> PageDigest {
    Sha256::digest(page).into()
}

fn page_size_of(header: &[u8; 100], path: &Path) -> Result<u32, StepError> {
    let size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size => u32::from(size),
    };
    if !header.starts_with(HEADER) || !is_page_size(size) {
        return Err(failed(format!("{} is not an SQLite database", path.display())));
    }
    Ok(size)
}

pub(super) fn is_page_size(size: u32) -> bool {
    (512..=65536).contains(&size) && size.is_power_of_two()
}
