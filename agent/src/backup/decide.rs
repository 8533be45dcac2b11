//! What the next set is. Pure.

use rekindle_domain::{BackupId, BackupKind, SetPosition};
use rekindle_step::StepError;

use super::history::{History, LastSet};
use crate::configuration::AgentConfiguration;
use crate::error::failed;
use crate::recipe::InstalledRecipes;

/// What a person or a schedule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum KindWish {
    /// Everything.
    Full,
    /// What changed; an error where that is not possible.
    Incremental,
    /// What changed where that is possible, everything otherwise and from time to time.
    Auto,
}

/// The next set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Full or incremental.
    pub kind: BackupKind,
    /// Its place in the machine's history.
    pub position: SetPosition,
    /// The set that it continues.
    pub parent_id: Option<BackupId>,
}

/// Decides the next set from what was taken before, what is asked, and what the recipes can do.
///
/// # Errors
/// When an increment is asked for and is not possible; the sentence says why.
pub fn decide(
    history: &History,
    wish: KindWish,
    new_incarnation: bool,
    configuration: &AgentConfiguration,
    recipes: &InstalledRecipes,
) -> Result<Next, StepError> {
    let position = next_position(history, new_incarnation);
    let full = Next { kind: BackupKind::Full, position, parent_id: None };
    if wish == KindWish::Full {
        return Ok(full);
    }
    match parent(history, new_incarnation, configuration, recipes) {
        Ok(last) if wish == KindWish::Auto && is_full_due(last, configuration.backup.full_every) => Ok(full),
        Ok(last) => {
            Ok(Next { kind: BackupKind::Incremental, position, parent_id: Some(last.backup_id.clone()) })
        }
        Err(_) if wish == KindWish::Auto => Ok(full),
        Err(reason) => Err(failed(format!("an incremental backup is not possible: {reason}"))
            .next_step("Take a full one: --kind full")),
    }
}

fn next_position(history: &History, new_incarnation: bool) -> SetPosition {
    match history.newest_position() {
        None => SetPosition { incarnation: 1, sequence: 1 },
        Some(newest) if new_incarnation => {
            SetPosition { incarnation: newest.incarnation.saturating_add(1), sequence: 1 }
        }
        Some(newest) => SetPosition { sequence: newest.sequence.saturating_add(1), ..newest },
    }
}

fn is_full_due(last: &LastSet, full_every: u32) -> bool {
    full_every > 0 && last.since_full + 1 >= full_every
}

/// The set that an increment can continue, or the reason why there is none.
fn parent<'a>(
    history: &'a History,
    new_incarnation: bool,
    configuration: &AgentConfiguration,
    recipes: &InstalledRecipes,
) -> Result<&'a LastSet, String> {
    if new_incarnation {
        return Err("a new incarnation begins with everything".to_owned());
    }
    let last = history.last.as_ref().ok_or("this host remembers no set that it could continue")?;
    if last.data_stores.len() != configuration.data_stores.len() {
        return Err("the data stores of the machine are not those of the last set".to_owned());
    }
    for store in &configuration.data_stores {
        let name = &store.name;
        let before = last.data_stores.get(name).ok_or_else(|| format!("{name} is not in the last set"))?;
        let installed = recipes.named(&store.recipe).map_err(|error| error.what)?;
        if !installed.recipe.knows_increments() {
            return Err(format!("the recipe {} of {name} knows no increments", store.recipe));
        }
        if installed.reference != before.recipe {
            return Err(format!("the recipe of {name} is not the one that the last set was taken with"));
        }
    }
    Ok(last)
}
