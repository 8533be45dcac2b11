//! What a job finds around it: the places, the buckets, the keys, and the recipes with their parameters.

use std::path::PathBuf;
use std::sync::Arc;

use rekindle_step::StepError;
use rekindle_store::{FolderStore, ObjectStore};

use crate::configuration::{AgentConfiguration, DataStore};
use crate::keys::{DataIdentity, TrustedKeys};
use crate::places::Places;
use crate::programs::Programs;
use crate::recipe::{Action, InstalledRecipes, Parameters, Recipe, Surroundings, Values, run_all};
use crate::transfer::store_error;

/// The instance that the agent runs in.
#[derive(Debug)]
pub struct Instance {
    /// Where everything lies.
    pub places: Places,
    /// The agent's own program, which recipes call.
    pub agent: PathBuf,
    /// What serves.
    pub programs: Programs,
}

impl Instance {
    /// An instance with these places, whose recipes call this program.
    pub fn new(places: Places, agent: PathBuf) -> Self {
        let programs = Programs::logging_into(places.logs());
        Self { places, agent, programs }
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StepError> {
        Ok(Arc::new(FolderStore::open(self.places.bucket(name)).map_err(store_error)?))
    }

    pub(crate) fn configuration(&self) -> Result<AgentConfiguration, StepError> {
        AgentConfiguration::read(&self.places.configuration())
    }

    pub(crate) fn trusted_keys(&self) -> Result<TrustedKeys, StepError> {
        TrustedKeys::read(&self.places.trusted_keys())
    }

    pub(crate) fn recipes(&self, trusted: &TrustedKeys) -> Result<InstalledRecipes, StepError> {
        InstalledRecipes::read(&self.places.recipes(), trusted)
    }

    pub(crate) fn identity(&self) -> Result<DataIdentity, StepError> {
        DataIdentity::read(&self.places.identity())
    }

    /// What the programs of one action on one data store find around them.
    pub(crate) fn surroundings(
        &self,
        recipe: &Recipe,
        store: &DataStore,
        action: Action,
        values: Values,
    ) -> Result<Surroundings, StepError> {
        Ok(Surroundings {
            agent: self.agent.clone(),
            logs: self.places.logs(),
            data_store: store.name.clone(),
            action,
            parameters: Parameters::of(&recipe.parameters, store)?,
            values,
        })
    }
}

/// Runs an action without data on every data store of the machine, in their order.
pub(crate) async fn engine_action(
    instance: &Instance,
    action: Action,
    otherwise: Option<Action>,
) -> Result<(), StepError> {
    let configuration = instance.configuration()?;
    let recipes = instance.recipes(&instance.trusted_keys()?)?;
    for store in &configuration.data_stores {
        let recipe = &recipes.named(&store.recipe)?.recipe;
        let action = match otherwise {
            Some(otherwise) if recipe.steps(action).is_empty() => otherwise,
            _ => action,
        };
        let surroundings = instance.surroundings(recipe, store, action, Values::new())?;
        run_all(&surroundings, recipe.steps(action)).await?;
    }
    Ok(())
}
