//! What an instance holds: which set, which configuration, and whether a restore was cut off.

use std::collections::BTreeMap;

use rekindle_domain::backup_set::{Heartbeat, RecipeReference};
use rekindle_domain::{BackupId, RevisionId, SetPosition};
use rekindle_step::{ErrorName, StepError};
use serde::{Deserialize, Serialize};

use crate::files::{read_json, write_json};
use crate::places::Places;

/// What is applied. Written before and after every change, so that an instance whose restore was cut off is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The set that is being applied right now. Whoever finds one here stands before half of a restore.
    pub applying: Option<BackupId>,
    /// The set that the data is.
    pub applied: Option<AppliedSet>,
    /// The configuration inside.
    pub configuration: Option<AppliedConfiguration>,
}

/// A set that was applied whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedSet {
    /// Its name.
    pub backup_id: BackupId,
    /// Its place in the machine's history.
    pub position: SetPosition,
    /// Its data stores.
    pub data_stores: BTreeMap<String, AppliedDataStore>,
    /// Objects that were fetched and matched their signed digests.
    pub objects: u64,
    /// Stored bytes that were fetched by the transfer that ended with this set.
    pub fetched_bytes: u64,
    /// Bytes that were handed to the engines by the transfer that ended with this set.
    pub restored_bytes: u64,
}

/// A data store as it was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedDataStore {
    /// The engine's position, in the recipe's notation.
    pub position: String,
    /// The heartbeat that the set promises.
    pub heartbeat: Heartbeat,
    /// The recipe that restored it.
    pub recipe: RecipeReference,
}

/// The configuration that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedConfiguration {
    /// Its name.
    pub revision: RevisionId,
    /// Its publication counter.
    pub counter: u64,
}

impl State {
    /// Reads the state; that of an empty instance where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(places: &Places) -> Result<Self, StepError> {
        Ok(read_json(&places.state())?.unwrap_or_default())
    }

    /// Writes the state, durably and in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, places: &Places) -> Result<(), StepError> {
        write_json(&places.state(), self)
    }

    /// Refuses an instance whose restore was cut off: its data is neither the old set nor the new one.
    ///
    /// # Errors
    /// `Agent.SetRefused`, telling to rebuild.
    pub fn refuse_half_applied(&self) -> Result<(), StepError> {
        match &self.applying {
            None => Ok(()),
            Some(backup_id) => Err(StepError::new(
                ErrorName::SetRefused,
                format!(
                    "the restore of the set {backup_id} into this instance was cut off, so its data is dirty"
                ),
            )
            .next_step("Destroy this instance and start again from the image")),
        }
    }

    /// The applied set's place, if there is one.
    pub fn position(&self) -> Option<SetPosition> {
        self.applied.as_ref().map(|applied| applied.position)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot write its own state has failed")]
    use super::*;

    #[test]
    fn a_state_reads_back_and_a_cut_off_restore_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::under(folder.path());
        assert_eq!(State::read(&places).unwrap(), State::default());
        let state = State { applying: Some(BackupId::mint()), ..State::default() };
        state.write(&places).unwrap();
        let read = State::read(&places).unwrap();
        assert_eq!(read, state);
        assert_eq!(read.refuse_half_applied().unwrap_err().name, ErrorName::SetRefused);
    }
}
