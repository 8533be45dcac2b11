//! Takes a backup of this machine: heartbeat, consistent copy, encryption to public recipients, and a signed
//! description that is written last.
//!
//! Until the description is there, nobody sees a set; what a cut-off backup stored is removed by the next one. The
//! host remembers which set it wrote last; where that memory is lost, the next set is full and takes its number from
//! the store.

mod decide;
mod encode;
mod history;
mod store_backup;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rekindle_domain::backup_set::{BackupSet, DataStoreBackup, Encryption, SCHEMA_VERSION};
use rekindle_domain::{BackupId, BackupKind, ObjectKey, SetPosition};
use rekindle_step::{ErrorName, StepError};
use rekindle_store::ObjectStore;
use rustix::fs::FlockOperation;
use serde::Serialize;

use crate::AGENT_VERSION;
use crate::configuration::AgentConfiguration;
use crate::error::{failed, file};
use crate::files::{fresh_folder, remove_folder};
use crate::keys::{Recipient, SigningKey, TrustedKeys};
use crate::places::Places;
use crate::recipe::{InstalledRecipe, InstalledRecipes};
use crate::transfer::store_error;

pub use decide::{KindWish, Next, decide};
pub use history::{History, LastDataStore, LastSet};

/// What a backup needs.
pub struct BackupRequest {
    /// The places of this host.
    pub places: Places,
    /// The agent's own program, which recipes call.
    pub agent: PathBuf,
    /// What is on this machine.
    pub configuration: AgentConfiguration,
    /// Signs the description.
    pub signing_key: SigningKey,
    /// Who can read the data.
    pub recipients: Vec<Recipient>,
    /// The bucket for the description.
    pub control: Arc<dyn ObjectStore>,
    /// The bucket for the data.
    pub data: Arc<dyn ObjectStore>,
    /// What becomes of the objects of a backup that was cut off.
    pub remnants: Remnants,
    /// Full or incremental.
    pub kind: KindWish,
    /// Whether the machine's history forked, so that a new incarnation begins.
    pub new_incarnation: bool,
    /// Shared by the sets of several machines that are taken at one moment.
    pub group_id: Option<BackupId>,
}

/// What becomes of objects that no description will ever name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remnants {
    /// The host removes them.
    Remove,
    /// They stay until the bucket's own rule ends them: a host that may delete backups could be made to delete all of
    /// them, so on AWS none may.
    Leave,
}

/// What a backup brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupSummary {
    /// The set.
    pub backup_id: BackupId,
    /// Its place in the machine's history.
    pub position: SetPosition,
    /// Full or incremental.
    pub kind: BackupKind,
    /// The set that it continues.
    pub parent_id: Option<BackupId>,
    /// Where its description lies in the control bucket.
    pub description_key: ObjectKey,
    /// Objects of it.
    pub objects: usize,
    /// What is stored of it.
    pub stored_bytes: u64,
    /// What was read from the engines.
    pub read_bytes: u64,
    /// Everything committed before this instant is in it.
    pub recovery_point: Timestamp,
    /// When it was complete.
    pub finished_at: Timestamp,
}

/// Takes one backup.
///
/// # Errors
/// `Step.Transient` when another one runs or the store cannot be reached; otherwise what a recipe or the operating
/// system refused.
pub async fn take(request: &BackupRequest) -> Result<BackupSummary, StepError> {
    let _lock = lock(&request.places)?;
    if request.recipients.is_empty() {
        return Err(failed("a backup needs a recipient that can read it").next_step("Give --recipient age1…"));
    }
    let recipes = installed_recipes(request)?;
    let mut history = History::read(&request.places)?;
    history.settle(request).await?;
    let next = decide(&history, request.kind, request.new_incarnation, &request.configuration, &recipes)?;
    let set_in_progress = Attempt { request, recipes: &recipes, next, backup_id: BackupId::mint() };
    set_in_progress.run(&mut history).await
}

fn lock(places: &Places) -> Result<std::fs::File, StepError> {
    let folder = places.backup_state();
    std::fs::create_dir_all(&folder).map_err(|error| file("creating the folder", &folder, error))?;
    let path = folder.join("lock");
    let opened = std::fs::File::create(&path).map_err(|error| file("opening", &path, error))?;
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(opened),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(StepError::transient("another backup of this machine is running").next_step("Wait for it"))
        }
        Err(error) => Err(file("locking", &path, error.into())),
    }
}

fn installed_recipes(request: &BackupRequest) -> Result<InstalledRecipes, StepError> {
    InstalledRecipes::read(&request.places.recipes(), &TrustedKeys::read(&request.places.trusted_keys())?)
}

struct Attempt<'a> {
    request: &'a BackupRequest,
    recipes: &'a InstalledRecipes,
    next: Next,
    backup_id: BackupId,
}

impl Attempt<'_> {
    async fn run(&self, history: &mut History) -> Result<BackupSummary, StepError> {
        let places = &self.request.places;
        let started_at = Timestamp::now();
        tracing::info!(backup_id = %self.backup_id, kind = %self.next.kind, position = %self.next.position, "backing up");
        history.begin(places, &self.backup_id)?;
        let staging = places.backup_state().join("staging");
        fresh_folder(&staging)?;
        let result = self.back_up_all().await;
        remove_folder(&staging)?;
        let (data_stores, read_bytes) = result?;
        let set = self.describe(started_at, data_stores);
        history.expect(places, self.remembered(&set, history))?;
        self.publish(&set).await?;
        history.commit(places)?;
        Ok(self.summary(&set, read_bytes))
    }

    async fn back_up_all(&self) -> Result<(Vec<DataStoreBackup>, u64), StepError> {
        let mut data_stores = Vec::new();
        let mut read_bytes = 0;
        for store in &self.request.configuration.data_stores {
            let recipe: &InstalledRecipe = self.recipes.named(&store.recipe)?;
            let taken = store_backup::run(self.request, &self.next, &self.backup_id, store, recipe).await?;
            read_bytes += taken.read_bytes;
            data_stores.push(taken.described);
        }
        Ok((data_stores, read_bytes))
    }

    fn describe(&self, started_at: Timestamp, data_stores: Vec<DataStoreBackup>) -> BackupSet {
        BackupSet {
            schema_version: SCHEMA_VERSION,
            machine: self.request.configuration.machine.clone(),
            backup_id: self.backup_id.clone(),
            group_id: self.request.group_id.clone(),
            position: self.next.position,
            kind: self.next.kind,
            parent_id: self.next.parent_id.clone(),
            started_at,
            finished_at: Timestamp::now().max(started_at),
            data_stores,
            encryption: Encryption {
                format: "age/v1".to_owned(),
                recipients: self.request.recipients.iter().map(Recipient::digest).collect(),
                compression: "zstd".to_owned(),
            },
            agent_version: AGENT_VERSION.to_owned(),
        }
    }

    fn remembered(&self, set: &BackupSet, history: &History) -> LastSet {
        let data_stores = set.data_stores.iter().map(|store| {
            let remembered = LastDataStore {
                position: store.recovery_point.position.clone(),
                recipe: store.recipe.clone(),
            };
            (store.name.clone(), remembered)
        });
        let since_full = match set.kind {
            BackupKind::Full => 0,
            BackupKind::Incremental => history.last.as_ref().map_or(0, |last| last.since_full) + 1,
        };
        LastSet {
            backup_id: set.backup_id.clone(),
            position: set.position,
            since_full,
            data_stores: data_stores.collect(),
        }
    }

    /// The signature first: whoever sees the description finds it signed.
    async fn publish(&self, set: &BackupSet) -> Result<(), StepError> {
        let bytes = serde_json::to_vec_pretty(set)
            .map_err(|error| failed("writing the description of the set failed").because(error))?;
        BackupSet::parse(&bytes, &set.machine, &set.backup_id).map_err(|error| {
            StepError::new(ErrorName::AgentFailed, "the set would be refused by every instance")
                .because(error)
        })?;
        let comment = format!("backup set {} of {}", set.backup_id, set.machine);
        let signature = self.request.signing_key.sign(&bytes, &comment)?;
        let control = &self.request.control;
        let machine = &set.machine;
        for (key, bytes) in [
            (machine.set_signature_key(&set.backup_id), signature.into_bytes()),
            (machine.set_description_key(&set.backup_id), bytes),
        ] {
            let body = Box::pin(std::io::Cursor::new(bytes));
            control.put_new(&key, body).await.map_err(store_error)?;
        }
        Ok(())
    }

    fn summary(&self, set: &BackupSet, read_bytes: u64) -> BackupSummary {
        BackupSummary {
            backup_id: set.backup_id.clone(),
            position: set.position,
            kind: set.kind,
            parent_id: set.parent_id.clone(),
            description_key: set.machine.set_description_key(&set.backup_id),
            objects: set.objects().count(),
            stored_bytes: set.stored_bytes().0,
            read_bytes,
            recovery_point: set.recovery_point_time(),
            finished_at: set.finished_at,
        }
    }
}
