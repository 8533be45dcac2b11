//! Names that nobody has used yet.

use std::io::Read as _;
use std::path::Path;

use crate::error::TaskError;

/// Thirty-two hexadecimal digits.
pub(crate) fn word() -> Result<String, TaskError> {
    let mut bytes = [0_u8; 16];
    let source = Path::new("/dev/urandom");
    std::fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|cause| TaskError::file(source, cause))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
