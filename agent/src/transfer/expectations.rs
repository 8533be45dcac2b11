//! What probes answered when the backup was taken.
//!
//! Answers are kept as digests with a random salt of the set, and the digests are encrypted like the data: whoever
//! can read them can read the data anyway, and no answer lies around in clear on either side.

use std::collections::BTreeMap;

use rekindle_domain::backup_set::{Heartbeat, ObjectRole};
use rekindle_domain::{BackupId, BackupSet, DataStoreBackup, Digest, SetPosition};
use rekindle_step::StepError;
use rekindle_store::ObjectStore;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::decode::decode_all;
use super::fetch::{Chunk, check_presence, fetch_verified};
use crate::configuration::Probe;
use crate::error::{failed, refused};
use crate::jobs::Progress;
use crate::keys::DataIdentity;

/// The longest expectations that are read.
const LONGEST_EXPECTATIONS_BYTES: u64 = 4 * 1024 * 1024;

/// What one data store has to answer after a restore of one set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// The set.
    pub backup_id: BackupId,
    /// The data store.
    pub data_store: String,
    /// Random, so that a small number cannot be looked up by its digest.
    pub salt: String,
    /// The questions and the digests of the answers.
    pub probes: Vec<ExpectedProbe>,
}

/// A question and the digest of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedProbe {
    /// The question.
    pub probe: Probe,
    /// Digest of salt and answer.
    pub answer: Digest,
}

impl Expectations {
    /// From answers, with a new salt.
    pub fn record(backup_id: BackupId, data_store: String, answers: Vec<(Probe, String)>) -> Self {
        let salt = format!("{}{}", ulid::Ulid::new(), ulid::Ulid::new());
        let probes = answers
            .into_iter()
            .map(|(probe, answer)| {
                let answer = digest(&salt, &answer);
                ExpectedProbe { probe, answer }
            })
            .collect();
        Self { backup_id, data_store, salt, probes }
    }

    /// Whether this is the answer that was recorded.
    pub fn agrees(&self, expected: &ExpectedProbe, answer: &str) -> bool {
        digest(&self.salt, answer) == expected.answer
    }
}

fn digest(salt: &str, answer: &str) -> Digest {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update([0]);
    hash.update(answer.as_bytes());
    Digest::from_hash(hash.finalize().into())
}

/// All that a verification needs to know of a set. Kept in memory-backed files only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedSet {
    pub(crate) backup_id: BackupId,
    pub(crate) position: SetPosition,
    pub(crate) data_stores: BTreeMap<String, ExpectedDataStore>,
}

/// What one data store has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedDataStore {
    pub(crate) position: String,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) expectations: Expectations,
}

/// Fetches, checks and decrypts the expectations of all data stores of a set.
pub(crate) async fn fetch_expectations(
    data: &dyn ObjectStore,
    set: &BackupSet,
    identity: &DataIdentity,
) -> Result<ExpectedSet, StepError> {
    let mut data_stores = BTreeMap::new();
    for store in &set.data_stores {
        let expectations = fetch_one(data, set, store, identity).await?;
        data_stores.insert(
            store.name.clone(),
            ExpectedDataStore {
                position: store.recovery_point.position.clone(),
                heartbeat: store.recovery_point.heartbeat,
                expectations,
            },
        );
    }
    Ok(ExpectedSet { backup_id: set.backup_id.clone(), position: set.position, data_stores })
}

async fn fetch_one(
    data: &dyn ObjectStore,
    set: &BackupSet,
    store: &DataStoreBackup,
    identity: &DataIdentity,
) -> Result<Expectations, StepError> {
    let objects: Vec<_> =
        store.objects.iter().filter(|object| object.role == ObjectRole::Expectations).cloned().collect();
    if objects.iter().any(|object| object.size_bytes.0 > LONGEST_EXPECTATIONS_BYTES) {
        return Err(refused(format!("the expectations of {} are longer than what is read", store.name)));
    }
    check_presence(data, &objects).await?;
    let progress = Progress::default();
    let (sender, receiver) = mpsc::channel(1);
    let (fetched, bytes) =
        futures::join!(fetch_verified(data, &objects, sender, &progress), collect(receiver));
    fetched?;
    let plain = decode_all(&bytes, identity, LONGEST_EXPECTATIONS_BYTES)?;
    let read: Expectations = serde_json::from_slice(&plain).map_err(|error| {
        failed(format!("the expectations of {} cannot be read", store.name)).because(error)
    })?;
    if read.backup_id != set.backup_id || read.data_store != store.name || read.probes.is_empty() {
        return Err(refused(format!("the expectations of {} belong to something else", store.name)));
    }
    Ok(read)
}

async fn collect(mut receiver: mpsc::Receiver<Chunk>) -> Vec<u8> {
    let mut collected = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        if let Chunk::Bytes(bytes) = chunk {
            collected.extend_from_slice(&bytes);
        }
    }
    collected
}
