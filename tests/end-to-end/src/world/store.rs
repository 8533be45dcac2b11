//! The two buckets, as folders that anybody may have been at.

use std::path::{Path, PathBuf};

use rekindle_domain::{BackupId, MachineKey};
use serde_json::Value;

/// The backup store.
pub struct Store {
    /// Descriptions and signatures.
    pub control: PathBuf,
    /// Encrypted data.
    pub data: PathBuf,
}

impl Store {
    /// Makes both buckets.
    pub fn make(folder: &Path) -> Self {
        let store = Self { control: folder.join("control"), data: folder.join("data") };
        std::fs::create_dir_all(&store.control).unwrap();
        std::fs::create_dir_all(&store.data).unwrap();
        store
    }

    /// Where a set is described.
    pub fn description_file(&self, backup: &BackupId) -> PathBuf {
        self.control.join(machine().set_description_key(backup).as_str())
    }

    /// Where the description's signature is.
    pub fn signature_file(&self, backup: &BackupId) -> PathBuf {
        self.control.join(machine().set_signature_key(backup).as_str())
    }

    /// The description of a set.
    pub fn description(&self, backup: &BackupId) -> Value {
        serde_json::from_slice(&std::fs::read(self.description_file(backup)).unwrap()).unwrap()
    }

    /// Puts a description and its signature in the place of a set.
    pub fn publish(&self, backup: &BackupId, description: &[u8], signature: &str) {
        let file = self.description_file(backup);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(self.signature_file(backup), signature).unwrap();
        std::fs::write(file, description).unwrap();
    }
}

fn machine() -> MachineKey {
    MachineKey::parse("acme/orders/database").unwrap()
}
