//! The customer's side: takes backup sets, signs and publishes them, and knows what each restores to.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use minisign::KeyPair;
use rekindle_domain::backup_set::{
    Encryption, Engine, Heartbeat, ObjectRole, RecipeReference, RecoveryPoint, SCHEMA_VERSION,
};
use rekindle_domain::{
    BackupId, BackupKind, BackupSet, Bytes, DataStoreBackup, Digest, MachineKey, ObjectKey, SetObject,
    SetPosition,
};

use crate::store::MemoryStore;

/// A set, and what a machine holds after it was restored.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its description.
    pub set: BackupSet,
    /// What the machine held when it was taken.
    pub data: String,
}

#[derive(Debug, Default)]
struct History {
    taken: BTreeMap<BackupId, Taken>,
    /// The newest set of each machine.
    newest: BTreeMap<MachineKey, BackupId>,
    count: u128,
}

/// Everything that was ever backed up.
pub struct Backups {
    keys: KeyPair,
    history: Mutex<History>,
}

impl Backups {
    /// Nothing yet.
    pub fn new(keys: KeyPair) -> Self {
        Self { keys, history: Mutex::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut History) -> T) -> T {
        work(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A name that is later in order than all before it.
    pub fn mint(&self, now: Timestamp) -> BackupId {
        let count = self.with(|history| {
            history.count += 1;
            history.count
        });
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap();
        BackupId::parse(&ulid::Ulid::from_parts(milliseconds, count).to_string()).unwrap()
    }

    /// Takes a backup: the next of the machine's history.
    pub fn take(
        &self,
        machine: &MachineKey,
        kind: BackupKind,
        group: Option<BackupId>,
        now: Timestamp,
    ) -> Taken {
        let before = self.newest(machine);
        let sequence = before.as_ref().map_or(1, |before| before.set.position.sequence + 1);
        let incarnation = before.as_ref().map_or(1, |before| before.set.position.incarnation);
        self.take_at(machine, kind, group, now, SetPosition { incarnation, sequence })
    }

    /// Takes a backup that stands at this place in the machine's history.
    pub fn take_at(
        &self,
        machine: &MachineKey,
        kind: BackupKind,
        group: Option<BackupId>,
        now: Timestamp,
        position: SetPosition,
    ) -> Taken {
        let before = self.newest(machine);
        let backup_id = self.mint(now);
        let parent = before.filter(|_| kind == BackupKind::Incremental);
        let set = description(machine, &backup_id, group, position, kind, parent.as_ref(), now);
        let data = match &parent {
            Some(parent) => format!("{}, orders of {position}", parent.data),
            None => format!("all orders up to {position}"),
        };
        let taken = Taken { set, data };
        self.with(|history| {
            history.taken.insert(backup_id.clone(), taken.clone());
            history.newest.insert(machine.clone(), backup_id);
        });
        taken
    }

    /// Stores a set's description and its signature, as the last things of a backup.
    pub fn publish(&self, store: &MemoryStore, set: &BackupSet) {
        let bytes = serde_json::to_vec(set).unwrap();
        store.place(&set.machine.set_signature_key(&set.backup_id), self.sign(&bytes));
        store.place(&set.machine.set_description_key(&set.backup_id), bytes);
    }

    /// A signature of the customer.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        signature(&self.keys, bytes)
    }

    /// A set with what it restores to.
    pub fn set(&self, backup_id: &BackupId) -> Option<Taken> {
        self.with(|history| history.taken.get(backup_id).cloned())
    }

    /// The newest set of a machine.
    pub fn newest(&self, machine: &MachineKey) -> Option<Taken> {
        self.with(|history| history.taken.get(history.newest.get(machine)?).cloned())
    }

    /// Says which set the newest one is from now on: where a later one never counts.
    pub fn rewind(&self, machine: &MachineKey, backup_id: &BackupId) {
        self.with(|history| history.newest.insert(machine.clone(), backup_id.clone()));
    }
}

/// A detached signature of these bytes by this key.
pub fn signature(keys: &KeyPair, bytes: &[u8]) -> Vec<u8> {
    minisign::sign(Some(&keys.pk), &keys.sk, Cursor::new(bytes), None, None)
        .unwrap()
        .into_string()
        .into_bytes()
}

fn description(
    machine: &MachineKey,
    backup_id: &BackupId,
    group_id: Option<BackupId>,
    position: SetPosition,
    kind: BackupKind,
    parent: Option<&Taken>,
    now: Timestamp,
) -> BackupSet {
    let time = now - SignedDuration::from_mins(2);
    let object = |name: &str, role| SetObject {
        key: ObjectKey::parse(&format!("{}orders/{name}", machine.set_prefix(backup_id))).unwrap(),
        size_bytes: Bytes(1_000_000),
        sha256: Digest::of(name.as_bytes()),
        role,
        order: 0,
    };
    let continued = parent.map(|parent| parent.set.data_stores[0].recovery_point.position.clone());
    BackupSet {
        schema_version: SCHEMA_VERSION,
        machine: machine.clone(),
        backup_id: backup_id.clone(),
        group_id,
        position,
        kind,
        parent_id: parent.map(|parent| parent.set.backup_id.clone()),
        started_at: time,
        finished_at: now,
        data_stores: vec![DataStoreBackup {
            name: "orders".to_owned(),
            recipe: RecipeReference {
                name: "sqlite".to_owned(),
                version: "1.0.0".to_owned(),
                sha256: Digest::of(b"recipe"),
            },
            engine: Engine { name: "sqlite".to_owned(), version: "3.46".to_owned() },
            objects: vec![
                object("0.data", ObjectRole::Data),
                object("expectations", ObjectRole::Expectations),
            ],
            recovery_point: RecoveryPoint {
                time,
                position: position.to_string(),
                from_position: continued,
                heartbeat: Heartbeat { sequence: position.sequence, at: time },
            },
        }],
        encryption: Encryption {
            format: "age/v1".to_owned(),
            recipients: vec![Digest::of(b"recipient")],
            compression: "zstd".to_owned(),
        },
        agent_version: "0.1.0".to_owned(),
    }
}
