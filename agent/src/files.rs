//! Files that are either the old one or the new one, whatever happens in between.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rekindle_step::StepError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{failed, file};

/// Writes a file under its name in one step, so that it survives a loss of power, with these permissions.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StepError> {
    let folder = parent_of(path)?;
    fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
    let beside = beside(path);
    write_durably(&beside, bytes, mode).map_err(|error| file("writing", &beside, error))?;
    fs::rename(&beside, path).map_err(|error| file("replacing", path, error))?;
    sync_folder(folder)
}

fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    written.write_all(bytes)?;
    // The process's mask does not apply to what is asked for explicitly.
    written.set_permissions(fs::Permissions::from_mode(mode))?;
    written.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
    name.push(".rekindle-new");
    path.with_file_name(name)
}

fn parent_of(path: &Path) -> Result<&Path, StepError> {
    path.parent().ok_or_else(|| failed(format!("{} is not the path of a file", path.display())))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StepError> {
    let opened = fs::File::open(folder).map_err(|error| file("opening the folder", folder, error))?;
    opened.sync_all().map_err(|error| file("making durable the folder", folder, error))
}

/// A file of at most this many bytes; none where there is no file.
pub(crate) fn read_bounded(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>, StepError> {
    let opened = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| file("opening", path, error))?,
    };
    let mut bytes = Vec::new();
    opened.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(|error| file("reading", path, error))?;
    if bytes.len() as u64 > limit_bytes {
        return Err(failed(format!(
            "{} is longer than the {limit_bytes} bytes that are read",
            path.display()
        )));
    }
    Ok(Some(bytes))
}

/// A value that was written as JSON; none where there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StepError> {
    const LONGEST_BYTES: u64 = 64 * 1024 * 1024;
    let Some(bytes) = read_bounded(path, LONGEST_BYTES)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| failed(format!("the content of {} cannot be read", path.display())).because(error))
}

/// Writes a value as JSON, in one step, for the owner only.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StepError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| {
        failed(format!("writing the content of {} failed", path.display())).because(error)
    })?;
    write_atomically(path, &bytes, 0o600)
}

/// Removes a file; one that is not there is success.
pub(crate) fn remove(path: &Path) -> Result<(), StepError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("removing", path, error)),
        _ => Ok(()),
    }
}

/// Removes a folder and all in it; one that is not there is success.
pub(crate) fn remove_folder(path: &Path) -> Result<(), StepError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(file("removing the folder", path, error))
        }
        _ => Ok(()),
    }
}

/// Overwrites a file with zeros before it is removed. On a copy-on-write disk the old bytes may stay, so this is a
/// second line: what is secret lies in memory to begin with.
pub(crate) fn wipe(path: &Path) -> Result<(), StepError> {
    let Ok(description) = fs::symlink_metadata(path) else { return Ok(()) };
    if description.is_file() {
        overwrite(path, description.len()).map_err(|error| file("overwriting", path, error))?;
    }
    remove(path)
}

fn overwrite(path: &Path, length: u64) -> io::Result<()> {
    let mut opened = fs::OpenOptions::new().write(true).open(path)?;
    io::copy(&mut io::repeat(0).take(length), &mut opened)?;
    opened.sync_all()
}

/// An empty folder for the owner only.
pub(crate) fn fresh_folder(path: &Path) -> Result<(), StepError> {
    remove_folder(path)?;
    fs::create_dir_all(path).map_err(|error| file("creating the folder", path, error))?;
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(path, private).map_err(|error| file("protecting the folder", path, error))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose folder cannot be used has failed")]
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file");
        write_atomically(&path, b"one", 0o644).unwrap();
        write_atomically(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn reading_is_bounded_and_a_missing_file_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(read_bounded(&path, 3).unwrap().is_none());
        fs::write(&path, b"four").unwrap();
        assert!(read_bounded(&path, 3).is_err());
        assert_eq!(read_bounded(&path, 4).unwrap().unwrap(), b"four");
    }

    #[test]
    fn wiping_removes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, b"secret").unwrap();
        wipe(&path).unwrap();
        wipe(&path).unwrap();
        assert!(!path.exists());
    }
}
