//! Applies backup sets onto what the instance holds.
//!
//! Everything that can be refused is refused before a byte of data is touched: descriptions, order, recipes, sizes and
//! the decryption of the expectations. Data flows into staging; the state says *applying* from the moment on which a
//! cut-off would leave the data neither old nor new.

use std::fs::File;
use std::sync::Arc;

use rekindle_domain::backup_set::{DataStoreBackup, ObjectRole, SetObject};
use rekindle_domain::job::JobResult;
use rekindle_domain::{BackupId, BackupKind, BackupSet, SetPosition};
use rekindle_step::{ErrorName, StepError};
use rekindle_store::ObjectStore;
use tokio::sync::mpsc;

use super::{Instance, Progress};
use crate::buckets::Bucket;
use crate::configuration::AgentConfiguration;
use crate::error::{failed, system};
use crate::files::{fresh_folder, remove, remove_folder, wipe, write_json};
use crate::keys::DataIdentity;
use crate::recipe::{
    Action, InstalledRecipes, Recipe, RunningProgram, Surroundings, Values, run_all, start_writing,
};
use crate::state::{AppliedDataStore, AppliedSet, State};
use crate::transfer::{
    Chunk, Decoded, admit, check_presence, decode_into, fetch_expectations, fetch_verified, read_description,
};

pub(super) async fn run(
    instance: &Instance,
    sets: &[BackupId],
    expected: Option<SetPosition>,
    progress: &Progress,
) -> Result<JobResult, StepError> {
    let state = State::read(&instance.places)?;
    state.refuse_half_applied()?;
    let Some(last) = sets.last() else {
        return Err(StepError::new(ErrorName::InputInvalid, "the job names no set"));
    };
    if let Some(applied) = state.applied.as_ref().filter(|applied| applied.backup_id == *last) {
        return Ok(restored(applied));
    }
    let wanted = remaining(sets, expected, &state)?;
    let transfer = Transfer::prepare(instance, wanted, &state).await?;
    let applied = transfer.apply(state, progress).await?;
    Ok(restored(&applied))
}

fn restored(applied: &AppliedSet) -> JobResult {
    JobResult::Restored {
        applied: applied.position,
        fetched_bytes: applied.fetched_bytes,
        restored_bytes: applied.restored_bytes,
    }
}

/// The sets that are still to be applied: all of them onto what the plan expects, or the rest of a chain that an
/// earlier attempt applied in part.
fn remaining<'a>(
    sets: &'a [BackupId],
    expected: Option<SetPosition>,
    state: &State,
) -> Result<&'a [BackupId], StepError> {
    if state.position() == expected {
        return Ok(sets);
    }
    let at = state.applied.as_ref().and_then(|applied| sets.iter().position(|set| *set == applied.backup_id));
    match at {
        Some(at) => Ok(&sets[at + 1..]),
        None => Err(StepError::new(
            ErrorName::SetOutOfOrder,
            format!(
                "the plan expects an instance with {}, and this one holds {}",
                shown(expected),
                shown(state.position())
            ),
        )
        .next_step("Plan the refresh anew")),
    }
}

fn shown(position: Option<SetPosition>) -> String {
    position.map_or_else(|| "no set".to_owned(), |position| format!("the set at {position}"))
}

struct Transfer<'a> {
    instance: &'a Instance,
    data: Arc<dyn ObjectStore>,
    configuration: AgentConfiguration,
    recipes: InstalledRecipes,
    identity: DataIdentity,
    chain: Vec<BackupSet>,
}

impl<'a> Transfer<'a> {
    async fn prepare(instance: &'a Instance, wanted: &[BackupId], state: &State) -> Result<Self, StepError> {
        let (control, data) = (instance.bucket(Bucket::Control)?, instance.bucket(Bucket::Data)?);
        let configuration = instance.configuration()?;
        let trusted = instance.trusted_keys()?;
        let recipes = instance.recipes(&trusted)?;
        let mut chain = Vec::new();
        for backup_id in wanted {
            chain
                .push(read_description(control.as_ref(), &trusted, &configuration.machine, backup_id).await?);
        }
        admit(&chain, state.applied.as_ref(), &configuration, &recipes)?;
        for set in &chain {
            let objects: Vec<SetObject> = set.objects().cloned().collect();
            check_presence(data.as_ref(), &objects).await?;
        }
        let identity = instance.identity().await?;
        Ok(Self { instance, data, configuration, recipes, identity, chain })
    }

    async fn apply(&self, mut state: State, progress: &Progress) -> Result<AppliedSet, StepError> {
        let Some(last) = self.chain.last() else {
            return Err(StepError::new(ErrorName::InputInvalid, "the job names no set"));
        };
        let expected = fetch_expectations(self.data.as_ref(), last, &self.identity).await?;
        progress.expect(self.chain.iter().map(|set| set.stored_bytes().0).sum());
        // What was proven, or is expected, belongs to the data that goes away now.
        remove(&self.instance.places.verified())?;
        wipe(&self.instance.places.expectations())?;
        let mut totals = Totals::default();
        for set in &self.chain {
            totals.restored_bytes += self.apply_set(set, &mut state, progress).await?;
            totals.fetched_bytes += set.stored_bytes().0;
            state.applied = Some(applied_of(set, &totals));
            state.applying = None;
            state.write(&self.instance.places)?;
        }
        remove_folder(&self.instance.places.staging())?;
        write_json(&self.instance.places.expectations(), &expected)?;
        state.applied.ok_or_else(|| failed("no set was applied"))
    }

    async fn apply_set(
        &self,
        set: &BackupSet,
        state: &mut State,
        progress: &Progress,
    ) -> Result<u64, StepError> {
        tracing::info!(backup_id = %set.backup_id, position = %set.position, kind = %set.kind, "applying a set");
        let action = match set.kind {
            BackupKind::Full => Action::Rebuild,
            BackupKind::Incremental => Action::Apply,
        };
        let mut restored_bytes = 0;
        for store in &set.data_stores {
            let (recipe, surroundings) = self.prepared(set, store, action)?;
            let steps = recipe.streamed(action)?;
            fresh_folder(&self.instance.places.staging().join(&store.name))?;
            run_all(&surroundings, steps.before).await?;
            if steps.after.is_empty() {
                // There is no staging: the stream itself is what changes the data.
                self.mark_applying(set, state)?;
            }
            restored_bytes += self.stream(store, &surroundings, steps.stream, progress).await?;
        }
        self.mark_applying(set, state)?;
        for store in &set.data_stores {
            let (recipe, surroundings) = self.prepared(set, store, action)?;
            run_all(&surroundings, recipe.streamed(action)?.after).await?;
        }
        Ok(restored_bytes)
    }

    fn mark_applying(&self, set: &BackupSet, state: &mut State) -> Result<(), StepError> {
        state.applying = Some(set.backup_id.clone());
        state.write(&self.instance.places)
    }

    fn prepared(
        &self,
        set: &BackupSet,
        store: &DataStoreBackup,
        action: Action,
    ) -> Result<(&Recipe, Surroundings), StepError> {
        let recipe = &self.recipes.pinned(&store.recipe)?.recipe;
        let Some(ours) = self.configuration.data_store(&store.name) else {
            return Err(failed(format!("the data store {} is not configured", store.name)));
        };
        let staging = self.instance.places.staging().join(&store.name);
        let mut values: Values = [
            ("backup_id", set.backup_id.to_string()),
            ("staging", staging.to_string_lossy().into_owned()),
            ("position", store.recovery_point.position.clone()),
        ]
        .into();
        if let Some(from_position) = &store.recovery_point.from_position {
            values.insert("from_position", from_position.clone());
        }
        Ok((recipe, self.instance.surroundings(recipe, ours, action, values)?))
    }

    /// Lets the data objects flow into the program that stages them, and gives how many bytes it took.
    async fn stream(
        &self,
        store: &DataStoreBackup,
        surroundings: &Surroundings,
        step: &crate::recipe::Step,
        progress: &Progress,
    ) -> Result<u64, StepError> {
        let (started, pipe) = start_writing(surroundings, step)?;
        // The program goes first when this is dropped: it is killed before its input ends, so that it never takes
        // the end of a transfer that was cut off for the end of the data.
        let (pipe, mut program) = (pipe, started);
        let writer = pipe.try_clone().map_err(|error| system("doubling a pipe failed", error))?;
        let (sender, receiver) = mpsc::channel(2);
        let objects = data_objects(store);
        let (fetched, decoded) = tokio::join!(
            fetch_verified(self.data.as_ref(), &objects, sender, progress),
            decode_on_a_thread(receiver, self.identity.clone(), writer),
        );
        match whole(fetched, decoded) {
            Ok(Some(count)) => finish(program, pipe).await.map(|()| count),
            Ok(None) => {
                program.finish().await?;
                Err(failed("the program of the recipe stopped reading before the data ended"))
            }
            Err(error) => {
                program.kill();
                Err(error)
            }
        }
    }
}

async fn finish(program: RunningProgram, pipe: File) -> Result<(), StepError> {
    drop(pipe);
    program.finish().await
}

async fn decode_on_a_thread(
    mut receiver: mpsc::Receiver<Chunk>,
    identity: DataIdentity,
    mut writer: File,
) -> Result<Decoded, StepError> {
    tokio::task::spawn_blocking(move || decode_into(&mut receiver, &identity, &mut writer))
        .await
        .unwrap_or_else(|error| Err(failed("decoding ended unexpectedly").because(error)))
}

/// How many bytes were restored; none when the receiver stopped reading.
fn whole(
    fetched: Result<(), StepError>,
    decoded: Result<Decoded, StepError>,
) -> Result<Option<u64>, StepError> {
    fetched?;
    match decoded? {
        Decoded::All(count) => Ok(Some(count)),
        Decoded::ReceiverGone => Ok(None),
        Decoded::CutOff => Err(failed("the transfer was cut off")),
    }
}

fn data_objects(store: &DataStoreBackup) -> Vec<SetObject> {
    let mut objects: Vec<SetObject> =
        store.objects.iter().filter(|object| object.role == ObjectRole::Data).cloned().collect();
    objects.sort_by_key(|object| object.order);
    objects
}

#[derive(Default)]
struct Totals {
    fetched_bytes: u64,
    restored_bytes: u64,
}

fn applied_of(set: &BackupSet, totals: &Totals) -> AppliedSet {
    let data_stores = set
        .data_stores
        .iter()
        .map(|store| {
            let applied = AppliedDataStore {
                position: store.recovery_point.position.clone(),
                heartbeat: store.recovery_point.heartbeat,
                recipe: store.recipe.clone(),
            };
            (store.name.clone(), applied)
        })
        .collect();
    AppliedSet {
        backup_id: set.backup_id.clone(),
        position: set.position,
        data_stores,
        objects: set.objects().count() as u64,
        fetched_bytes: totals.fetched_bytes,
        restored_bytes: totals.restored_bytes,
    }
}
