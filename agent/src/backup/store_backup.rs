//! Takes one data store: heartbeat, copy, stream, expectations.

use rekindle_domain::backup_set::{DataStoreBackup, Engine, ObjectRole, RecoveryPoint};
use rekindle_domain::{BackupId, BackupKind, ObjectKey};
use rekindle_step::{ErrorName, StepError};

use super::encode::{StoredObject, encode_small, store_stream};
use super::history::kept_folder;
use super::{BackupRequest, Next};
use crate::configuration::DataStore;
use crate::engine::BackupReport;
use crate::error::failed;
use crate::files::{fresh_folder, read_json, write_json};
use crate::recipe::{Action, InstalledRecipe, Parameters, Surroundings, Values, run_all, start_reading};
use crate::transfer::Expectations;

pub(super) struct Taken {
    pub(super) described: DataStoreBackup,
    pub(super) read_bytes: u64,
}

pub(super) async fn run(
    request: &BackupRequest,
    next: &Next,
    backup_id: &BackupId,
    store: &DataStore,
    installed: &InstalledRecipe,
) -> Result<Taken, StepError> {
    let action = match next.kind {
        BackupKind::Full => Action::BackupFull,
        BackupKind::Incremental => Action::BackupIncremental,
    };
    let staging = request.places.backup_state().join("staging").join(&store.name);
    let (probes, report) = (staging.join("probes.json"), staging.join("report.json"));
    fresh_folder(&staging)?;
    fresh_folder(&kept_folder(&request.places, backup_id, &store.name))?;
    write_json(&probes, &store.probes)?;
    let surroundings = surroundings(request, next, backup_id, store, installed, action)?;
    let streamed = stream(request, backup_id, store, installed, &surroundings).await?;
    let report: BackupReport = read_json(&report)?
        .ok_or_else(|| recipe_failed(&format!("the backup of {} left no report", store.name)))?;
    check_report(&report, next, store)?;
    let mut objects = streamed.objects;
    objects.push(store_expectations(request, backup_id, store, &report).await?);
    Ok(Taken { described: described(store, installed, report, objects), read_bytes: streamed.read_bytes })
}

fn recipe_failed(what: &str) -> StepError {
    StepError::new(ErrorName::RecipeFailed, what)
}

fn surroundings(
    request: &BackupRequest,
    next: &Next,
    backup_id: &BackupId,
    store: &DataStore,
    installed: &InstalledRecipe,
    action: Action,
) -> Result<Surroundings, StepError> {
    let staging = request.places.backup_state().join("staging").join(&store.name);
    let shown = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let mut values: Values = [
        ("backup_id", backup_id.to_string()),
        ("probes", shown(staging.join("probes.json"))),
        ("report", shown(staging.join("report.json"))),
        ("next_state", shown(kept_folder(&request.places, backup_id, &store.name))),
        ("staging", shown(staging)),
    ]
    .into();
    if let Some(parent_id) = &next.parent_id {
        values.insert("parent_state", shown(kept_folder(&request.places, parent_id, &store.name)));
    }
    Ok(Surroundings {
        agent: request.agent.clone(),
        logs: request.places.logs(),
        data_store: store.name.clone(),
        action,
        parameters: Parameters::of(&installed.recipe.parameters, store)?,
        values,
    })
}

struct Streamed {
    objects: Vec<StoredObject>,
    read_bytes: u64,
}

async fn stream(
    request: &BackupRequest,
    backup_id: &BackupId,
    store: &DataStore,
    installed: &InstalledRecipe,
    surroundings: &Surroundings,
) -> Result<Streamed, StepError> {
    let steps = installed.recipe.streamed(surroundings.action)?;
    let heartbeat = Surroundings { action: Action::Heartbeat, ..surroundings.clone() };
    run_all(surroundings, steps.before).await?;
    // Right before the cut: what is committed before this row is in the set.
    run_all(&heartbeat, installed.recipe.steps(Action::Heartbeat)).await?;
    let (program, pipe) = start_reading(surroundings, steps.stream)?;
    let prefix = object_prefix(request, backup_id, store);
    let (objects, read_bytes) = store_stream(request, &prefix, pipe).await?;
    program.finish().await?;
    run_all(surroundings, steps.after).await?;
    Ok(Streamed { objects, read_bytes })
}

fn object_prefix(request: &BackupRequest, backup_id: &BackupId, store: &DataStore) -> String {
    format!("{}{}/", request.configuration.machine.set_prefix(backup_id), store.name)
}

fn check_report(report: &BackupReport, next: &Next, store: &DataStore) -> Result<(), StepError> {
    let name = &store.name;
    if report.from_position.is_some() != (next.kind == BackupKind::Incremental) {
        return Err(recipe_failed(&format!("the report of {name} does not fit a set that is {}", next.kind)));
    }
    let asked: Vec<&str> = store.probes.iter().map(|probe| probe.name.as_str()).collect();
    let answered: Vec<&str> = report.answers.iter().map(|(probe, _)| probe.name.as_str()).collect();
    if asked != answered {
        return Err(recipe_failed(&format!("the backup of {name} did not answer every probe")));
    }
    Ok(())
}

async fn store_expectations(
    request: &BackupRequest,
    backup_id: &BackupId,
    store: &DataStore,
    report: &BackupReport,
) -> Result<StoredObject, StepError> {
    let expectations = Expectations::record(backup_id.clone(), store.name.clone(), report.answers.clone());
    let plain = serde_json::to_vec(&expectations)
        .map_err(|error| failed("writing the expectations failed").because(error))?;
    let key = format!("{}expectations.zst.age", object_prefix(request, backup_id, store));
    let key =
        ObjectKey::parse(&key).map_err(|error| failed("naming the expectations failed").because(error))?;
    encode_small(request, key, &plain, ObjectRole::Expectations).await
}

fn described(
    store: &DataStore,
    installed: &InstalledRecipe,
    report: BackupReport,
    objects: Vec<StoredObject>,
) -> DataStoreBackup {
    DataStoreBackup {
        name: store.name.clone(),
        recipe: installed.reference.clone(),
        engine: Engine { name: installed.recipe.engine.clone(), version: report.engine_version },
        objects,
        recovery_point: RecoveryPoint {
            time: report.heartbeat.at,
            position: report.position,
            from_position: report.from_position,
            heartbeat: report.heartbeat,
        },
    }
}
