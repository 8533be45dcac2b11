//! `set.json`: the description of one backup set, signed and written last.
//!
//! The orchestrator reads it, so it holds ids, sizes, times, hashes and positions, and no business data.
//! It comes from outside: bounded before it is read, and refused with a sentence when anything does not fit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::{BackupId, Digest, MachineKey};
use crate::object_key::ObjectKey;
use crate::quantity::Bytes;

/// The version of the format that this code writes and reads.
pub const SCHEMA_VERSION: u32 = 1;
/// The longest description that is read, in bytes: ten thousand objects need less than half of it.
pub const LONGEST_DESCRIPTION_BYTES: u64 = 4 * 1024 * 1024;
/// The most objects in one set: at 64 MiB an object, 640 GB.
pub const MOST_OBJECTS: usize = 10_000;
/// The most data stores on one machine.
pub const MOST_DATA_STORES: usize = 32;

/// Whether a set stands on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// Everything: an image can be rebuilt from this set alone.
    Full,
    /// What changed since the parent set.
    Incremental,
}

impl std::fmt::Display for BackupKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        })
    }
}

/// Where a set stands in the history of its machine. A higher incarnation (a primary restored from an old backup,
/// a failback) comes after everything of a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPosition {
    /// Grows when the history of the primary forks.
    pub incarnation: u64,
    /// Grows by one with each set of an incarnation.
    pub sequence: u64,
}

impl std::fmt::Display for SetPosition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.incarnation, self.sequence)
    }
}

/// One backup of one machine: all its data stores at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSet {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whose data it is.
    pub machine: MachineKey,
    /// Its name.
    pub backup_id: BackupId,
    /// Shared by the sets of several machines of a service that were taken at one moment.
    pub group_id: Option<BackupId>,
    /// Its place in the machine's history.
    pub position: SetPosition,
    /// Full or incremental.
    pub kind: BackupKind,
    /// The set that an incremental one continues.
    pub parent_id: Option<BackupId>,
    /// When the backup began, on the source's clock.
    pub started_at: Timestamp,
    /// When its last object was stored, on the source's clock.
    pub finished_at: Timestamp,
    /// One entry for each database or folder tree on the machine.
    pub data_stores: Vec<DataStoreBackup>,
    /// Who can read the objects.
    pub encryption: Encryption,
    /// The program that wrote the set.
    pub agent_version: String,
}

/// The backup of one data store within a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataStoreBackup {
    /// The data store's name on its machine, for example `orders`.
    pub name: String,
    /// How it was taken and how it is restored.
    pub recipe: RecipeReference,
    /// The program that holds the data.
    pub engine: Engine,
    /// The stored objects; `data` objects are restored in ascending order.
    pub objects: Vec<SetObject>,
    /// What a restore of this set brings back.
    pub recovery_point: RecoveryPoint,
}

/// A recipe, pinned by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeReference {
    /// For example `sqlite`.
    pub name: String,
    /// For example `1.0.0`.
    pub version: String,
    /// Digest of the recipe file's exact bytes.
    pub sha256: Digest,
}

/// A database engine and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// For example `postgresql`.
    pub name: String,
    /// For example `15.18`.
    pub version: String,
}

/// What a set restores to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPoint {
    /// Everything committed before this instant is in the set, on the source's clock.
    pub time: Timestamp,
    /// The engine's own position after the set, in the recipe's notation.
    pub position: String,
    /// The position that an incremental set continues from.
    pub from_position: Option<String>,
    /// The heartbeat row that was written right before the cut.
    pub heartbeat: Heartbeat,
}

/// The row `dr_heartbeat`, which proves that a restored database is this backup and no older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Grows with each backup.
    pub sequence: u64,
    /// When it was written, on the source's clock.
    pub at: Timestamp,
}

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectRole {
    /// A part of the data stream.
    Data,
    /// Probe values recorded at backup time. Encrypted, and only the ciphertext is hashed here: small numbers could be
    /// guessed from a hash of the plain text.
    Expectations,
}

/// One stored object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetObject {
    /// Its key in the data bucket.
    pub key: ObjectKey,
    /// Its stored (compressed, encrypted) size.
    pub size_bytes: Bytes,
    /// Digest of the stored bytes.
    pub sha256: Digest,
    /// What it holds.
    pub role: ObjectRole,
    /// Its place in the stream.
    pub order: u32,
}

/// How the objects of a set are protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// `age/v1`.
    pub format: String,
    /// Digests of the public recipients' text.
    pub recipients: Vec<Digest>,
    /// `zstd`.
    pub compression: String,
}

/// Why a description is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupSetError {
    /// Too long to be read at all.
    #[error("the set description has {found_bytes} bytes, more than the {limit_bytes} that are read")]
    TooLarge {
        /// Its length.
        found_bytes: u64,
        /// [`LONGEST_DESCRIPTION_BYTES`].
        limit_bytes: u64,
    },
    /// Not the JSON of a set description.
    #[error("the set description cannot be read: {0}")]
    Unreadable(String),
    /// Readable, but it contradicts itself or the place it was found at.
    #[error("the set description is refused: {0}")]
    Contradiction(String),
}

impl BackupSet {
    /// Reads a description that was found under the key of the given machine and backup.
    ///
    /// # Errors
    /// When it is too long, is not JSON of this schema, or contradicts itself or its place.
    pub fn parse(bytes: &[u8], machine: &MachineKey, backup_id: &BackupId) -> Result<Self, BackupSetError> {
        let found_bytes = bytes.len() as u64;
        if found_bytes > LONGEST_DESCRIPTION_BYTES {
            let limit_bytes = LONGEST_DESCRIPTION_BYTES;
            return Err(BackupSetError::TooLarge { found_bytes, limit_bytes });
        }
        let set: Self =
            serde_json::from_slice(bytes).map_err(|error| BackupSetError::Unreadable(error.to_string()))?;
        match set.contradiction(machine, backup_id) {
            None => Ok(set),
            Some(reason) => Err(BackupSetError::Contradiction(reason)),
        }
    }

    fn contradiction(&self, machine: &MachineKey, backup_id: &BackupId) -> Option<String> {
        self.contradicts_its_place(machine, backup_id)
            .or_else(|| self.contradicts_its_kind())
            .or_else(|| self.contradicts_its_bounds())
            .or_else(|| self.data_stores.iter().find_map(|store| self.contradicts_in(store)))
    }

    fn contradicts_its_place(&self, machine: &MachineKey, backup_id: &BackupId) -> Option<String> {
        if self.schema_version != SCHEMA_VERSION {
            return Some(format!(
                "it has schema version {}, this program reads {SCHEMA_VERSION}",
                self.schema_version
            ));
        }
        if self.machine != *machine {
            return Some(format!("it describes {} but lies under {machine}", self.machine));
        }
        if self.backup_id != *backup_id {
            return Some(format!("it describes {} but lies under {backup_id}", self.backup_id));
        }
        None
    }

    fn contradicts_its_kind(&self) -> Option<String> {
        match (self.kind, &self.parent_id) {
            (BackupKind::Full, Some(_)) => Some("a full set has no parent".to_owned()),
            (BackupKind::Incremental, None) => Some("an incremental set names no parent".to_owned()),
            (BackupKind::Incremental, Some(parent)) if *parent == self.backup_id => {
                Some("it names itself as its parent".to_owned())
            }
            _ if self.finished_at < self.started_at => Some("it finished before it started".to_owned()),
            _ if self.encryption.format != "age/v1" => Some("its encryption is not age/v1".to_owned()),
            _ if self.encryption.compression != "zstd" => Some("its compression is not zstd".to_owned()),
            _ => None,
        }
    }

    fn contradicts_its_bounds(&self) -> Option<String> {
        let objects: usize = self.data_stores.iter().map(|store| store.objects.len()).sum();
        if self.data_stores.is_empty() {
            return Some("it has no data store".to_owned());
        }
        if self.data_stores.len() > MOST_DATA_STORES {
            return Some(format!("it has more than {MOST_DATA_STORES} data stores"));
        }
        if objects > MOST_OBJECTS {
            return Some(format!("it has more than {MOST_OBJECTS} objects"));
        }
        let total = self.objects().try_fold(0_u64, |sum, object| sum.checked_add(object.size_bytes.0));
        if total.is_none() {
            return Some("the sizes of its objects do not add up to a number".to_owned());
        }
        let mut names: Vec<&str> = self.data_stores.iter().map(|store| store.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        (names.len() != self.data_stores.len()).then(|| "it names a data store twice".to_owned())
    }

    fn contradicts_in(&self, store: &DataStoreBackup) -> Option<String> {
        if crate::identity::MachineId::parse(&store.name).is_err() {
            return Some(
                "the name of a data store is not 1 to 63 lower-case letters, digits and hyphens".to_owned(),
            );
        }
        let prefix = self.machine.set_prefix(&self.backup_id);
        if let Some(stray) = store.objects.iter().find(|object| !object.key.is_under(&prefix)) {
            return Some(format!("the object {} lies outside of {prefix}", stray.key));
        }
        let mut orders: Vec<u32> = store
            .objects
            .iter()
            .filter(|object| object.role == ObjectRole::Data)
            .map(|object| object.order)
            .collect();
        orders.sort_unstable();
        if orders.is_empty() {
            return Some(format!("the data store {} has no data object", store.name));
        }
        if !orders.iter().enumerate().all(|(index, order)| index as u64 == u64::from(*order)) {
            return Some(format!("the data objects of {} are not numbered from 0 without gaps", store.name));
        }
        let expectations =
            store.objects.iter().filter(|object| object.role == ObjectRole::Expectations).count();
        if expectations != 1 {
            return Some(format!(
                "the data store {} has {expectations} expectations objects, not one",
                store.name
            ));
        }
        let continues = store.recovery_point.from_position.is_some();
        (continues != (self.kind == BackupKind::Incremental))
            .then(|| format!("the positions of {} do not fit a set that is {}", store.name, self.kind))
    }

    /// All objects of all data stores.
    pub fn objects(&self) -> impl Iterator<Item = &SetObject> {
        self.data_stores.iter().flat_map(|store| store.objects.iter())
    }

    /// What is stored in all.
    pub fn stored_bytes(&self) -> Bytes {
        Bytes(self.objects().map(|object| object.size_bytes.0).sum())
    }

    /// Everything committed on the machine before this instant is in the set: the oldest of its data stores.
    pub fn recovery_point_time(&self) -> Timestamp {
        self.data_stores.iter().map(|store| store.recovery_point.time).min().unwrap_or(self.started_at)
    }

    /// Digest over the recipes of all data stores; part of what a failed attempt is keyed by.
    pub fn recipes_digest(&self) -> Digest {
        let mut text = String::new();
        for store in &self.data_stores {
            text.push_str(store.recipe.sha256.as_str());
        }
        Digest::of(text.as_bytes())
    }
}
