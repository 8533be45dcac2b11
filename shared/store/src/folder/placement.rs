//! Finding, placing and removing objects under their keys.

use std::io;

use rekindle_domain::ObjectKey;

use super::directory::{Directory, Found};
use super::incoming::Incoming;
use super::{Folder, OpenObject, failure};
use crate::{ObjectDescription, StoreError};

/// How often a placement begins again when the folders on its way were removed by a delete.
const PLACEMENT_ATTEMPTS: usize = 100;

/// A key's folders, and its name in the last of them.
fn split(key: &ObjectKey) -> (Vec<&str>, &str) {
    let mut folders: Vec<&str> = key.as_str().split('/').collect();
    let name = folders.pop().unwrap_or_default();
    (folders, name)
}

/// Where the way to an object ends.
enum Way {
    /// All its folders are there; the last of them.
    Open(Directory),
    /// A folder is missing, or an object lies where a folder would have to: there cannot be such an object.
    Closed,
}

impl Folder {
    /// Opens an object for reading.
    pub(super) fn open_object(&self, key: &ObjectKey) -> Result<OpenObject, StoreError> {
        let (folders, name) = split(key);
        let Way::Open(directory) = self.follow(key, &folders)? else {
            return Err(StoreError::NotFound { key: key.clone() });
        };
        match directory.find(name).map_err(|source| failure(key, "finding", source))? {
            Found::Nothing | Found::Folder => Err(StoreError::NotFound { key: key.clone() }),
            Found::Foreign => Err(foreign(key, key.as_str())),
            Found::Object { .. } => open_regular(key, &directory, name),
        }
    }

    /// Fails if there is such an object.
    pub(super) fn refuse_existing(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match self.open_object(key) {
            Err(StoreError::NotFound { .. }) => Ok(()),
            Ok(_) => Err(StoreError::AlreadyExists { key: key.clone() }),
            Err(error) => Err(error),
        }
    }

    /// Gives a received object its key, in place of the one that may be there.
    pub(super) fn place(&self, key: &ObjectKey, incoming: Incoming) -> Result<ObjectDescription, StoreError> {
        self.place_by(key, incoming, Incoming::move_to)
    }

    /// Gives a received object its key if there is none under it.
    pub(super) fn place_new(
        &self,
        key: &ObjectKey,
        incoming: Incoming,
    ) -> Result<ObjectDescription, StoreError> {
        self.place_by(key, incoming, Incoming::move_to_new)
    }

    fn place_by(
        &self,
        key: &ObjectKey,
        incoming: Incoming,
        moving: fn(&Incoming, &Directory, &str) -> io::Result<()>,
    ) -> Result<ObjectDescription, StoreError> {
        let (folders, name) = split(key);
        let placed = self.place_at(&folders, |directory| moving(&incoming, directory, name));
        let way = placed.map_err(|error| {
            self.prune(&folders);
            self.explain(key, error)
        })?;
        self.sync_way(&way).map_err(|source| failure(key, "placing", source))?;
        Ok(ObjectDescription { key: key.clone(), size_bytes: incoming.size_bytes })
    }

    fn place_at(
        &self,
        folders: &[&str],
        moving: impl Fn(&Directory) -> io::Result<()>,
    ) -> io::Result<Vec<Directory>> {
        let mut attempts = PLACEMENT_ATTEMPTS;
        loop {
            attempts -= 1;
            let answer = self.make_way(folders).and_then(|way| {
                moving(way.last().unwrap_or(&self.root))?;
                Ok(way)
            });
            match answer {
                // A delete removed an empty folder between its making and its use.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts > 0 => {}
                answer => return answer,
            }
        }
    }

    /// Makes the folders of a key, as far as they are missing.
    fn make_way(&self, folders: &[&str]) -> io::Result<Vec<Directory>> {
        let mut way: Vec<Directory> = Vec::with_capacity(folders.len());
        for folder in folders {
            let next = way.last().unwrap_or(&self.root).child_or_new(folder)?;
            way.push(next);
        }
        Ok(way)
    }

    /// Every folder, not only those that this writer made: another one may have made them and not be done yet.
    fn sync_way(&self, way: &[Directory]) -> io::Result<()> {
        way.iter().rev().try_for_each(Directory::sync)?;
        self.root.sync()
    }

    /// Why a placement failed, from what lies on the key's way.
    fn explain(&self, key: &ObjectKey, source: io::Error) -> StoreError {
        let something_is_in_the_way = matches!(
            source.kind(),
            io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
        );
        if !something_is_in_the_way {
            return failure(key, "placing", source);
        }
        match self.obstacle(key) {
            Ok(Some((path, Found::Object { .. }))) if path == key.as_str() => {
                StoreError::AlreadyExists { key: key.clone() }
            }
            Ok(Some((path, Found::Object { .. }))) => {
                refused(key, format!("{path} is an object, and no object can lie under another one"))
            }
            Ok(Some((_, Found::Folder))) => refused(key, "other objects lie under it".to_owned()),
            Ok(Some((path, _))) => foreign(key, &path),
            Ok(None) | Err(_) => failure(key, "placing", source),
        }
    }

    /// The first thing on a key's way that is not a folder, or the thing under the key itself.
    fn obstacle(&self, key: &ObjectKey) -> io::Result<Option<(String, Found)>> {
        let (folders, name) = split(key);
        let mut directory: Option<Directory> = None;
        let mut path = String::new();
        for folder in folders {
            path.push_str(folder);
            let here = directory.as_ref().unwrap_or(&self.root);
            match here.find(folder)? {
                Found::Folder => directory = Some(here.child(folder)?),
                Found::Nothing => return Ok(None),
                found => return Ok(Some((path, found))),
            }
            path.push('/');
        }
        match directory.as_ref().unwrap_or(&self.root).find(name)? {
            Found::Nothing => Ok(None),
            found => Ok(Some((key.as_str().to_owned(), found))),
        }
    }

    /// Removes an object. One that is not there is success.
    pub(super) fn remove(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let (folders, name) = split(key);
        let Way::Open(directory) = self.follow(key, &folders)? else { return Ok(()) };
        let removing = |source| failure(key, "removing", source);
        match directory.find(name).map_err(removing)? {
            Found::Nothing | Found::Folder => return Ok(()),
            Found::Foreign => return Err(foreign(key, key.as_str())),
            Found::Object { .. } => {
                directory.remove_file(name).map_err(removing)?;
                directory.sync().map_err(removing)?;
            }
        }
        self.prune(&folders);
        Ok(())
    }

    /// Removes the folders that hold nothing any more, so that they are in no later key's way.
    fn prune(&self, folders: &[&str]) {
        let mut way = Vec::new();
        for folder in folders {
            match way.last().unwrap_or(&self.root).child(folder) {
                Ok(directory) => way.push(directory),
                Err(_) => break,
            }
        }
        while way.pop().is_some() {
            let Some(name) = folders.get(way.len()) else { break };
            if way.last().unwrap_or(&self.root).remove_empty_child(name).is_err() {
                break;
            }
        }
    }

    /// Follows a key's folders.
    fn follow(&self, key: &ObjectKey, folders: &[&str]) -> Result<Way, StoreError> {
        let finding = |source| failure(key, "finding", source);
        let mut directory = self.root.child(".").map_err(finding)?;
        for folder in folders {
            directory = match directory.child(folder) {
                Ok(next) => next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Way::Closed),
                Err(error) => {
                    return match directory.find(folder).map_err(finding)? {
                        Found::Nothing | Found::Object { .. } => Ok(Way::Closed),
                        Found::Foreign => Err(foreign(key, folder)),
                        Found::Folder => Err(finding(error)),
                    };
                }
            };
        }
        Ok(Way::Open(directory))
    }
}

fn open_regular(key: &ObjectKey, directory: &Directory, name: &str) -> Result<OpenObject, StoreError> {
    let opened = directory.open_object(name).and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        // It was looked at before, but may have been exchanged since.
        Ok((metadata, file)) if metadata.is_file() => Ok(OpenObject { file, size_bytes: metadata.len() }),
        Ok(_) => Err(foreign(key, key.as_str())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::NotFound { key: key.clone() })
        }
        Err(error) => Err(failure(key, "opening", error)),
    }
}

fn refused(key: &ObjectKey, reason: String) -> StoreError {
    StoreError::Refused { key: key.clone(), reason }
}

fn foreign(key: &ObjectKey, path: &str) -> StoreError {
    refused(key, format!("{path} is neither a file nor a folder (a symbolic link is never followed)"))
}
