//! Backup sets, and what was decided about them.

use jiff::Timestamp;
use rekindle_domain::{BackupId, MachineKey};
use serde::{Deserialize, Serialize};

use crate::attributes::{Item, from_item, key_of, to_item};
use crate::document;
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::{Recorded, RefusedDescription, SetRecord, SetStatus};
use crate::register::Register;

/// What lies beside the description itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetItem {
    decision: SetStatus,
    recorded_at: Timestamp,
}

impl Register {
    /// Records a set once. A later call changes nothing, whatever it says: descriptions are immutable.
    pub async fn record_set(&self, record: &SetRecord) -> Result<Recorded, RegisterError> {
        let key = keys::backup_set(&record.set.machine, &record.set.backup_id);
        if self.table.get(&key).await?.is_some() {
            return Ok(Recorded::Known);
        }
        let beside = SetItem { decision: record.status.clone(), recorded_at: record.recorded_at };
        let mut item = to_item(&key, &beside)?;
        document::store(&self.table, &mut item, &record.set).await?;
        let written = self.table.put(item, Expression::absent()).send().await?;
        Ok(if written { Recorded::New } else { Recorded::Known })
    }

    /// Records once that the description of a set could not be read.
    pub async fn record_refused_description(
        &self,
        refused: &RefusedDescription,
    ) -> Result<Recorded, RegisterError> {
        let key = keys::refused_description(&refused.machine, &refused.backup_id);
        let written = self.table.put(to_item(&key, refused)?, Expression::absent()).send().await?;
        Ok(if written { Recorded::New } else { Recorded::Known })
    }

    /// The descriptions of a machine that could not be read, the oldest first.
    pub async fn refused_descriptions(
        &self,
        machine: &MachineKey,
    ) -> Result<Vec<RefusedDescription>, RegisterError> {
        let items = self.table.query(&keys::refused_descriptions(machine)).await?;
        let refused = items.into_iter().map(|item| from_item(&key_of(&item), item));
        let mut refused: Vec<RefusedDescription> = refused.collect::<Result<_, _>>()?;
        refused.sort_by_key(|refused| refused.at);
        Ok(refused)
    }

    /// All sets of a machine, in the order of its history.
    pub async fn sets(&self, machine: &MachineKey) -> Result<Vec<SetRecord>, RegisterError> {
        let mut records = Vec::new();
        for item in self.table.query(&keys::backup_sets(machine)).await? {
            records.push(self.set_record(item).await?);
        }
        records.sort_by(|one, other| {
            (one.set.position, &one.set.backup_id).cmp(&(other.set.position, &other.set.backup_id))
        });
        Ok(records)
    }

    /// One set.
    pub async fn set(
        &self,
        machine: &MachineKey,
        backup: &BackupId,
    ) -> Result<Option<SetRecord>, RegisterError> {
        match self.table.get(&keys::backup_set(machine, backup)).await? {
            Some(item) => Ok(Some(self.set_record(item).await?)),
            None => Ok(None),
        }
    }

    async fn set_record(&self, item: Item) -> Result<SetRecord, RegisterError> {
        let set = document::load(&self.table, &item).await?;
        let SetItem { decision, recorded_at } = from_item(&key_of(&item), item)?;
        Ok(SetRecord { set, status: decision, recorded_at })
    }
}
