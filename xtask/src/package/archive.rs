//! Packages as Lambda takes them. The same program gives the same package: no times, no owners, one order.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::error::TaskError;

/// How much time may be spent on a small package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// For upload.
    Best,
    /// For tests.
    Fast,
}

/// A package that holds one program.
pub(crate) fn of_one_program(
    name: &str,
    program: &[u8],
    compression: Compression,
) -> Result<Vec<u8>, TaskError> {
    let level = match compression {
        // Above nine the levels are Zopfli's. Fifteen rounds instead of one, measured, save a thousandth.
        Compression::Best => 10,
        Compression::Fast => 1,
    };
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(level))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, options).map_err(|error| failed(name, error.into()))?;
    writer.write_all(program).map_err(|error| failed(name, error))?;
    let written = writer.finish().map_err(|error| failed(name, error.into()))?;
    Ok(written.into_inner())
}

fn failed(name: &str, cause: std::io::Error) -> TaskError {
    TaskError::File { path: format!("the package of {name}"), cause }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_same_program_gives_the_same_package() {
        let package = || of_one_program("bootstrap", b"program", Compression::Best).unwrap();
        assert_eq!(package(), package());
    }

    #[test]
    fn lambda_finds_the_program_and_may_run_it() {
        let package = of_one_program("bootstrap", &[7; 100_000], Compression::Fast).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(package)).unwrap();
        assert_eq!(archive.len(), 1);
        let mut file = archive.by_name("bootstrap").unwrap();
        assert_eq!(file.unix_mode().unwrap() & 0o777, 0o755);
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        assert_eq!(content, [7; 100_000]);
    }
}
