//! What a run tells: its steps, and the report at its end.

use rekindle_domain::report::StepRecord;
use rekindle_domain::{Report, RunId};

use crate::attributes::{from_item, key_attributes, key_of, to_item};
use crate::document;
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::Recorded;
use crate::register::Register;

impl Register {
    /// Adds a step to the run's log. A step is its start, its name and its machine: told again it is the same step, and
    /// one that had not ended can be completed.
    pub async fn record_step(&self, run_id: &RunId, step: &StepRecord) -> Result<Recorded, RegisterError> {
        let key = keys::step(run_id, step.started_at, &step.name, step.machine.as_ref());
        let item = to_item(&key, step)?;
        let condition = match step.finished_at {
            Some(_) => {
                Expression::condition("attribute_not_exists(#pk) OR attribute_not_exists(#finished_at)")
            }
            None => Expression::absent(),
        };
        let written = self.table.put(item, condition).send().await?;
        Ok(if written { Recorded::New } else { Recorded::Known })
    }

    /// The steps of a run, in the order in which they began.
    pub async fn steps(&self, run_id: &RunId) -> Result<Vec<StepRecord>, RegisterError> {
        let items = self.table.query(&keys::steps(run_id)).await?;
        items.into_iter().map(|item| from_item(&key_of(&item), item)).collect()
    }

    /// Stores the report of a run. The first one wins.
    pub async fn put_report(&self, report: &Report) -> Result<Recorded, RegisterError> {
        let key = keys::report(&report.run_id);
        if self.table.get(&key).await?.is_some() {
            return Ok(Recorded::Known);
        }
        let mut item = key_attributes(&key);
        document::store(&self.table, &mut item, report).await?;
        let written = self.table.put(item, Expression::absent()).send().await?;
        Ok(if written { Recorded::New } else { Recorded::Known })
    }

    /// The report of a run.
    pub async fn report(&self, run_id: &RunId) -> Result<Option<Report>, RegisterError> {
        match self.table.get(&keys::report(run_id)).await? {
            Some(item) => Ok(Some(document::load(&self.table, &item).await?)),
            None => Ok(None),
        }
    }
}
