//! Which table this is, and how far the register has come: by this it knows that it was restored.

use jiff::Timestamp;
use rekindle_domain::{RegisterEpoch, Run, RunId, RunState};

use crate::attributes::{from_item, to_item};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::register::Register;

impl Register {
    /// What the database calls the table of this register: never the same for two tables, nor for a restored copy.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn table_id(&self) -> Result<String, RegisterError> {
        self.table.identity().await
    }

    /// What the register says of itself; nothing in a new one.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn epoch(&self) -> Result<Option<RegisterEpoch>, RegisterError> {
        let key = keys::register_epoch();
        self.table.get(&key).await?.map(|item| from_item(&key, item)).transpose()
    }

    /// Lets the register say this of itself, in place of what was read. Answers whether that was still so.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn put_epoch(
        &self,
        epoch: &RegisterEpoch,
        replaces: Option<&RegisterEpoch>,
    ) -> Result<bool, RegisterError> {
        let item = to_item(&keys::register_epoch(), epoch)?;
        let condition = replaces.map_or_else(Expression::absent, as_it_was_read);
        self.table.put(item, condition).send().await
    }

    /// Whether the register holds anything of a past: an image of a machine, or a run that is not over.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn has_a_past(&self) -> Result<bool, RegisterError> {
        if !self.unfinished_runs().await?.is_empty() {
            return Ok(true);
        }
        for machine in self.all_machines().await? {
            if self.machine_state(&machine).await?.newest.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records that an open run has made something, where the register has forgotten it: so its replicas are kept.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when there is no such run.
    pub async fn remember_intent(&self, run_id: &RunId, now: Timestamp) -> Result<Run, RegisterError> {
        self.change_run(run_id, |run| {
            let has_forgotten = run.state == RunState::Open && run.last_intent_at.is_none();
            if has_forgotten {
                run.last_intent_at = Some(now);
            }
            Ok(has_forgotten)
        })
        .await
    }
}

/// Somebody may have found out meanwhile that the register was restored: that is part of what was read.
fn as_it_was_read(read: &RegisterEpoch) -> Expression {
    let place = "#table_id = :table AND #epoch = :epoch AND #mark = :mark";
    let expression = match &read.restored {
        None => Expression::condition(format!("{place} AND attribute_not_exists(#restored)")),
        Some(sentence) => Expression::condition(format!("{place} AND #restored = :restored"))
            .with_text("restored", sentence),
    };
    expression
        .with_text("table", &read.table_id)
        .with_number("epoch", read.epoch)
        .with_number("mark", read.mark)
}
