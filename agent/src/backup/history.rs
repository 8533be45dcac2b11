//! What this host remembers of its sets, and how it finds out where that memory is missing or was cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rekindle_domain::backup_set::RecipeReference;
use rekindle_domain::{BackupId, MachineKey, ObjectKey, SetPosition};
use rekindle_step::StepError;
use rekindle_store::{ObjectStore, StoreError};
use serde::{Deserialize, Serialize};

use super::{BackupRequest, Remnants};
use crate::error::file;
use crate::files::{read_json, remove_folder, write_json};
use crate::keys::TrustedKeys;
use crate::places::Places;
use crate::transfer::{read_description, store_error};

/// The sets of this host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The last set that is known to be complete.
    pub last: Option<LastSet>,
    /// The place of the newest set in the store, where no set can be continued.
    pub newest_in_store: Option<SetPosition>,
    pending: Option<Pending>,
    #[serde(skip)]
    is_lost: bool,
}

/// A set that can be continued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastSet {
    /// Its name.
    pub backup_id: BackupId,
    /// Its place in the machine's history.
    pub position: SetPosition,
    /// Increments since the last full set, this one counted.
    pub since_full: u32,
    /// Its data stores.
    pub data_stores: BTreeMap<String, LastDataStore>,
}

/// A data store in that set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastDataStore {
    /// The engine's position.
    pub position: String,
    /// The recipe that took it.
    pub recipe: RecipeReference,
}

/// A backup that was begun. Once all objects are stored it also says what the host has to remember.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    backup_id: BackupId,
    becomes: Option<LastSet>,
}

fn path(places: &Places) -> PathBuf {
    places.backup_state().join("history.json")
}

/// Where the recipe of a data store keeps what the set after this one needs.
pub(super) fn kept_folder(places: &Places, backup_id: &BackupId, data_store: &str) -> PathBuf {
    places.backup_state().join("kept").join(backup_id.as_str()).join(data_store)
}

impl History {
    pub(super) fn read(places: &Places) -> Result<Self, StepError> {
        let read: Option<Self> = read_json(&path(places))?;
        Ok(read.unwrap_or(Self { is_lost: true, ..Self::default() }))
    }

    fn write(&self, places: &Places) -> Result<(), StepError> {
        write_json(&path(places), self)
    }

    /// The newest place in the machine's history.
    pub fn newest_position(&self) -> Option<SetPosition> {
        self.last.as_ref().map(|last| last.position).max(self.newest_in_store)
    }

    /// Finds out how the last attempt ended, and removes what nobody will ever refer to.
    pub(super) async fn settle(&mut self, request: &BackupRequest) -> Result<(), StepError> {
        let machine = &request.configuration.machine;
        if self.is_lost {
            self.newest_in_store = newest_in_store(request).await?;
            remove_unpublished(request, None).await?;
            self.is_lost = false;
        }
        if let Some(pending) = self.pending.take() {
            let published =
                is_there(request.control.as_ref(), &machine.set_description_key(&pending.backup_id)).await?;
            match pending.becomes {
                Some(last) if published => self.last = Some(last),
                _ if published => self.last = None,
                _ => remove_unpublished(request, Some(&pending.backup_id)).await?,
            }
        }
        self.write(&request.places)?;
        self.forget_old(&request.places)
    }

    pub(super) fn begin(&mut self, places: &Places, backup_id: &BackupId) -> Result<(), StepError> {
        self.pending = Some(Pending { backup_id: backup_id.clone(), becomes: None });
        self.write(places)
    }

    pub(super) fn expect(&mut self, places: &Places, becomes: LastSet) -> Result<(), StepError> {
        self.pending = Some(Pending { backup_id: becomes.backup_id.clone(), becomes: Some(becomes) });
        self.write(places)
    }

    pub(super) fn commit(&mut self, places: &Places) -> Result<(), StepError> {
        self.last = self.pending.take().and_then(|pending| pending.becomes);
        self.write(places)?;
        self.forget_old(places)
    }

    fn forget_old(&self, places: &Places) -> Result<(), StepError> {
        let folder = places.backup_state().join("kept");
        let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
        for entry in entries {
            let entry = entry.map_err(|error| file("reading the folder", &folder, error))?;
            let is_last =
                self.last.as_ref().is_some_and(|last| entry.file_name() == *last.backup_id.as_str());
            if !is_last {
                remove_folder(&entry.path())?;
            }
        }
        Ok(())
    }
}

async fn is_there(control: &dyn ObjectStore, key: &ObjectKey) -> Result<bool, StepError> {
    match control.head(key).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(store_error(error)),
    }
}

/// The newest place among the sets that this host's own key signed; what anybody else left there counts for nothing.
async fn newest_in_store(request: &BackupRequest) -> Result<Option<SetPosition>, StepError> {
    let own = TrustedKeys::parse([request.signing_key.public_text()?.as_str()])?;
    let machine = &request.configuration.machine;
    let mut newest = None;
    for backup_id in published(request).await? {
        match read_description(request.control.as_ref(), &own, machine, &backup_id).await {
            Ok(set) => newest = newest.max(Some(set.position)),
            Err(error) => {
                tracing::warn!(backup_id = %backup_id, error = error.chain(), "a set does not count")
            }
        }
    }
    Ok(newest)
}

async fn published(request: &BackupRequest) -> Result<BTreeSet<BackupId>, StepError> {
    let machine = &request.configuration.machine;
    let listed = request.control.list(&machine.sets_prefix()).await.map_err(store_error)?;
    Ok(listed
        .iter()
        .filter_map(|found| MachineKey::of_set_description(&found.key))
        .map(|(_, id)| id)
        .collect())
}

/// Removes objects of sets without a description: all of them, or those of one set.
async fn remove_unpublished(request: &BackupRequest, only: Option<&BackupId>) -> Result<(), StepError> {
    if request.remnants == Remnants::Leave {
        return Ok(());
    }
    let machine = &request.configuration.machine;
    let prefix = only.map_or_else(|| machine.sets_prefix(), |backup_id| machine.set_prefix(backup_id));
    let published = published(request).await?;
    for bucket in [&request.control, &request.data] {
        for found in bucket.list(&prefix).await.map_err(store_error)? {
            let set = found
                .key
                .as_str()
                .strip_prefix(&machine.sets_prefix())
                .and_then(|rest| rest.split('/').next());
            let backup_id = set.and_then(|text| BackupId::parse(text).ok());
            if backup_id.is_some_and(|backup_id| !published.contains(&backup_id)) {
                tracing::info!(key = %found.key, "removing what a cut-off backup left");
                bucket.delete(&found.key).await.map_err(store_error)?;
            }
        }
    }
    Ok(())
}
