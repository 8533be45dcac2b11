//! What a job finds around it: the places, the buckets, the keys, and the recipes with their parameters.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use rekindle_step::StepError;
use rekindle_store::ObjectStore;

use crate::buckets::{Bucket, Buckets};
use crate::configuration::{AgentConfiguration, DataStore};
use crate::identity::IdentitySource;
use crate::keys::{DataIdentity, TrustedKeys};
use crate::places::Places;
use crate::programs::Programs;
use crate::recipe::{Action, InstalledRecipes, Parameters, Recipe, Surroundings, Values, run_all};

/// The instance that the agent runs in.
#[derive(Debug)]
pub struct Instance {
    /// Where everything lies.
    pub places: Places,
    /// The agent's own program, which recipes call.
    pub agent: PathBuf,
    /// What serves.
    pub programs: Programs,
    /// The backup store.
    pub buckets: Buckets,
    /// What decrypts backups.
    pub identity: IdentitySource,
    /// What the cloud around the instance knows better than the instance.
    pub known: KnownOutside,
}

/// What the cloud around an instance knows of it; none where the instance has to say it itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownOutside {
    /// The address on which others reach it.
    pub address: Option<Ipv4Addr>,
    /// The SSH keys that were handed to it and are installed.
    pub ssh_key_names: Option<Vec<String>>,
}

impl Instance {
    /// An instance with these places, whose recipes call this program. Everything from outside is mounted into it.
    pub fn new(places: Places, agent: PathBuf) -> Self {
        Self {
            agent,
            programs: Programs::logging_into(places.logs()),
            buckets: Buckets::Mounted,
            identity: IdentitySource::File(places.identity()),
            known: KnownOutside::default(),
            places,
        }
    }

    pub(crate) fn bucket(&self, bucket: Bucket) -> Result<Arc<dyn ObjectStore>, StepError> {
        self.buckets.get(&self.places, bucket)
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

    pub(crate) async fn identity(&self) -> Result<DataIdentity, StepError> {
        self.identity.obtain().await
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
