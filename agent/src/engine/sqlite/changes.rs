//! The stream of an increment: the pages that are not what they were.
//!
//! ```text
//! "RKSQLIT1"  page size u32  page count u64   then for each changed page, ascending:
//! page index u64  content                     and at the end:
//! u64::MAX
//! ```
//! All numbers are little-endian.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rekindle_step::StepError;

use super::pages::{PageDigests, is_page_size};
use crate::error::{failed, file, system};

const MAGIC: &[u8; 8] = b"RKSQLIT1";
const END: u64 = u64::MAX;

/// Writes the pages of a file that differ from the old ones.
pub(super) fn write(
    path: &Path,
    old: &PageDigests,
    new: &PageDigests,
    output: &mut impl Write,
) -> Result<(), StepError> {
    let source = File::open(path).map_err(|error| file("opening", path, error))?;
    let mut page = vec![0_u8; new.page_size as usize];
    let mut send =
        |bytes: &[u8]| output.write_all(bytes).map_err(|error| system("streaming the changes failed", error));
    send(MAGIC)?;
    send(&new.page_size.to_le_bytes())?;
    send(&(new.digests.len() as u64).to_le_bytes())?;
    for (index, digest) in new.digests.iter().enumerate() {
        if old.page_size == new.page_size && old.digests.get(index) == Some(digest) {
            continue;
        }
        let offset = index as u64 * u64::from(new.page_size);
        source.read_exact_at(&mut page, offset).map_err(|error| file("reading", path, error))?;
        send(&(index as u64).to_le_bytes())?;
        send(&page)?;
    }
    send(&END.to_le_bytes())
}

/// What a stream of changes says about the database after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) page_size: u32,
    pub(super) page_count: u64,
}

/// Reads a received stream and hands on each page with its index.
pub(super) fn read(
    path: &Path,
    mut each: impl FnMut(Shape, u64, &[u8]) -> Result<(), StepError>,
) -> Result<Shape, StepError> {
    let opened = File::open(path).map_err(|error| file("opening the changes", path, error))?;
    read_from(BufReader::with_capacity(1024 * 1024, opened), &mut each)
}

fn read_from(
    mut input: impl Read,
    each: &mut impl FnMut(Shape, u64, &[u8]) -> Result<(), StepError>,
) -> Result<Shape, StepError> {
    let magic: [u8; 8] = array(&mut input)?;
    let page_size = u32::from_le_bytes(array(&mut input)?);
    let page_count = u64::from_le_bytes(array(&mut input)?);
    if magic != *MAGIC || !is_page_size(page_size) || page_count == 0 {
        return Err(failed("the stream does not hold the changes of an SQLite database"));
    }
    let shape = Shape { page_size, page_count };
    let mut page = vec![0_u8; page_size as usize];
    let mut next = 0;
    loop {
        let index = u64::from_le_bytes(array(&mut input)?);
        if index == END {
            break;
        }
        if index < next || index >= page_count {
            return Err(failed("the changes are out of order or outside of the database"));
        }
        next = index + 1;
        input.read_exact(&mut page).map_err(too_short)?;
        each(shape, index, &page)?;
    }
    match input.read(&mut [0]) {
        Ok(0) => Ok(shape),
        _ => Err(failed("there is more after the end of the changes")),
    }
}

fn array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], StepError> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(too_short)?;
    Ok(bytes)
}

fn too_short(error: io::Error) -> StepError {
    failed("the changes end too early").because(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reading_foreign_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), good_start: bool) {
            let mut stream = Vec::new();
            if good_start {
                stream.extend_from_slice(MAGIC);
                stream.extend_from_slice(&512_u32.to_le_bytes());
            }
            stream.extend_from_slice(&bytes);
            let _ = read_from(stream.as_slice(), &mut |shape, index, page| {
                assert!(index < shape.page_count && page.len() == shape.page_size as usize);
                Ok(())
            });
        }
    }
}
