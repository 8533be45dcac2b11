//! May these sets be applied onto what this instance holds? Pure decisions.

use rekindle_domain::{BackupKind, BackupSet};
use rekindle_step::{ErrorName, StepError};

use crate::configuration::AgentConfiguration;
use crate::error::refused;
use crate::recipe::InstalledRecipes;
use crate::state::AppliedSet;

/// What stands before a set: its name, its place, and the positions of its data stores.
struct Before {
    backup_id: rekindle_domain::BackupId,
    position: rekindle_domain::SetPosition,
    data_stores: Vec<(String, String)>,
}

/// Checks a chain of sets, oldest first, against what is applied, the configuration and the installed recipes.
///
/// # Errors
/// `Agent.SetOutOfOrder` when a set is not newer than what is before it or does not continue it;
/// `Agent.RecipeUnknown` when a recipe is not installed as it was when the set was taken; `Agent.SetRefused` when the
/// data stores are not those of this machine.
pub fn admit(
    chain: &[BackupSet],
    applied: Option<&AppliedSet>,
    configuration: &AgentConfiguration,
    recipes: &InstalledRecipes,
) -> Result<(), StepError> {
    let mut before = applied.map(|applied| Before {
        backup_id: applied.backup_id.clone(),
        position: applied.position,
        data_stores: applied
            .data_stores
            .iter()
            .map(|(name, store)| (name.clone(), store.position.clone()))
            .collect(),
    });
    for set in chain {
        admit_after(set, before.as_ref())?;
        admit_data_stores(set, configuration, recipes)?;
        before = Some(Before {
            backup_id: set.backup_id.clone(),
            position: set.position,
            data_stores: set
                .data_stores
                .iter()
                .map(|store| (store.name.clone(), store.recovery_point.position.clone()))
                .collect(),
        });
    }
    Ok(())
}

fn admit_after(set: &BackupSet, before: Option<&Before>) -> Result<(), StepError> {
    if let Some(before) = before
        && set.position <= before.position
    {
        return Err(out_of_order(format!(
            "the set {} has position {}, and {} is applied already",
            set.backup_id, set.position, before.position
        )));
    }
    match (set.kind, before) {
        (BackupKind::Full, _) => Ok(()),
        (BackupKind::Incremental, None) => Err(out_of_order(format!(
            "the set {} is incremental, and nothing is applied that it could continue",
            set.backup_id
        ))),
        (BackupKind::Incremental, Some(before)) => admit_increment(set, before),
    }
}

fn admit_increment(set: &BackupSet, before: &Before) -> Result<(), StepError> {
    if set.parent_id.as_ref() != Some(&before.backup_id) {
        return Err(out_of_order(format!(
            "the set {} does not continue {}, which is applied",
            set.backup_id, before.backup_id
        )));
    }
    if set.position.incarnation != before.position.incarnation {
        return Err(out_of_order(format!(
            "the set {} begins a new incarnation and is not full",
            set.backup_id
        )));
    }
    let continues = |store: &&rekindle_domain::DataStoreBackup| {
        before.data_stores.iter().any(|(name, position)| {
            *name == store.name && store.recovery_point.from_position.as_ref() == Some(position)
        })
    };
    match set.data_stores.iter().find(|store| !continues(store)) {
        None => Ok(()),
        Some(store) => Err(out_of_order(format!(
            "the increment of {} in the set {} does not begin where the applied data ends",
            store.name, set.backup_id
        ))),
    }
}

fn admit_data_stores(
    set: &BackupSet,
    configuration: &AgentConfiguration,
    recipes: &InstalledRecipes,
) -> Result<(), StepError> {
    let names_a_stranger =
        set.data_stores.iter().find(|store| configuration.data_store(&store.name).is_none());
    if let Some(stranger) = names_a_stranger {
        return Err(not_ours(set, format!("it holds {}, which this machine does not have", stranger.name)));
    }
    let holds = |name: &str| set.data_stores.iter().any(|store| store.name == name);
    if let Some(left_out) = configuration.data_stores.iter().find(|store| !holds(&store.name)) {
        return Err(not_ours(set, format!("it leaves out {}", left_out.name)));
    }
    for store in &set.data_stores {
        let installed = recipes.pinned(&store.recipe)?;
        let ours = configuration.data_store(&store.name).map(|ours| ours.recipe.as_str());
        if ours != Some(installed.recipe.name.as_str()) {
            return Err(not_ours(set, format!("it holds {} by another recipe than ours", store.name)));
        }
        if set.kind == BackupKind::Incremental && !installed.recipe.knows_increments() {
            return Err(not_ours(set, format!("the recipe of {} knows no increments", store.name)));
        }
    }
    Ok(())
}

fn not_ours(set: &BackupSet, reason: String) -> StepError {
    refused(format!("the set {} does not fit this machine: {reason}", set.backup_id))
        .next_step("Bring the agent.toml of production and of the image to the same data stores")
}

fn out_of_order(what: String) -> StepError {
    StepError::new(ErrorName::SetOutOfOrder, what)
        .next_step("Rebuild from the newest full set and the increments after it")
}
