//! All objects under a prefix.

use std::io;

use rekindle_domain::ObjectKey;

use super::Folder;
use super::directory::{Directory, Found};
use crate::{ObjectDescription, StoreError};

impl Folder {
    /// All objects under a prefix, in the order of their keys.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<ObjectDescription>, StoreError> {
        let failure = |source| StoreError::Unavailable {
            what: format!("listing the objects under {prefix:?} failed"),
            source,
        };
        let mut objects = Vec::new();
        let mut prefixes = vec![checked(prefix).map_err(failure)?];
        while let Some(prefix) = prefixes.pop() {
            self.list_folder(&prefix, &mut objects, &mut prefixes).map_err(failure)?;
        }
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(objects)
    }

    /// Adds the objects and the folders that lie directly under a prefix.
    fn list_folder(
        &self,
        prefix: &str,
        objects: &mut Vec<ObjectDescription>,
        prefixes: &mut Vec<String>,
    ) -> io::Result<()> {
        let Some(directory) = self.folder_of(prefix)? else { return Ok(()) };
        for name in directory.names()? {
            // What has a name that no key has was not put here by a store: among it the files on their way in.
            let Ok(key) = ObjectKey::parse(&format!("{prefix}{name}")) else { continue };
            match directory.find(&name)? {
                Found::Object { size_bytes } => objects.push(ObjectDescription { key, size_bytes }),
                Found::Folder => prefixes.push(format!("{key}/")),
                Found::Nothing => {}
                Found::Foreign => tracing::warn!(%key, "neither a file nor a folder: it is not listed"),
            }
        }
        Ok(())
    }

    /// The folder of a prefix, unless nothing lies under it.
    fn folder_of(&self, prefix: &str) -> io::Result<Option<Directory>> {
        let mut directory = self.root.child(".")?;
        for segment in prefix.split_terminator('/') {
            directory = match directory.child(segment) {
                Ok(next) => next,
                Err(error) => {
                    return match error.kind() {
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                        _ => Err(error),
                    };
                }
            };
        }
        Ok(Some(directory))
    }
}

/// A prefix that names folders of the bucket and nothing else.
fn checked(prefix: &str) -> io::Result<String> {
    let is_good = prefix.is_empty()
        || prefix.strip_suffix('/').is_some_and(|folders| ObjectKey::parse(folders).is_ok());
    if is_good {
        return Ok(prefix.to_owned());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "a prefix is empty, or ends with a slash and is otherwise a key",
    ))
}
