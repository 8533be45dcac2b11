//! The plan of a refresh, kept with its run: entered again, the step finds it and does not decide anew.

use jiff::Timestamp;
use rekindle_domain::{PlanId, RefreshPlan, Run, RunId, RunState, Seconds, ServiceKey};
use serde::{Deserialize, Serialize};

use crate::attributes::{from_item, to_item};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::Recorded;
use crate::register::Register;

/// What a start of a service took when it was last measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasuredStart {
    recovery_time: Seconds,
    at: Timestamp,
}

impl Register {
    /// Records what a refresh has to do. The first plan of a run stays.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn put_refresh_plan(&self, plan: &RefreshPlan) -> Result<Recorded, RegisterError> {
        let item = to_item(&keys::refresh_plan(&plan.run_id), plan)?;
        let written = self.table.put(item, Expression::absent()).send().await?;
        Ok(if written { Recorded::New } else { Recorded::Known })
    }

    /// What a refresh has to do, once that was decided.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn refresh_plan(&self, run_id: &RunId) -> Result<Option<RefreshPlan>, RegisterError> {
        let key = keys::refresh_plan(run_id);
        self.table.get(&key).await?.map(|item| from_item(&key, item)).transpose()
    }

    /// Records which plan a recovery carries out. The first one stays.
    ///
    /// # Errors
    /// [`RegisterError::WrongState`] when the run is closed.
    pub async fn bind_plan(&self, run_id: &RunId, plan_id: &PlanId) -> Result<Run, RegisterError> {
        self.change_run(run_id, |run| match (&run.plan_id, run.state) {
            (Some(_), _) => Ok(false),
            (None, RunState::Open) => {
                run.plan_id = Some(plan_id.clone());
                Ok(true)
            }
            (None, state) => Err(RegisterError::WrongState {
                run_id: run.run_id.clone(),
                state,
                needed: "and only an open run takes a plan",
            }),
        })
        .await
    }

    /// Records what a recovery of a service took, for the prediction of the next one. The newest measurement stays.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn put_measured_start(
        &self,
        service: &ServiceKey,
        recovery_time: Seconds,
        at: Timestamp,
    ) -> Result<(), RegisterError> {
        let mut item = to_item(&keys::measured_start(service), &MeasuredStart { recovery_time, at })?;
        let order = keys::sortable_time(at);
        item.insert("x_at".to_owned(), crate::attributes::text(&order));
        let newer =
            Expression::condition("attribute_not_exists(#x_at) OR #x_at < :at").with_text("at", &order);
        self.table.put(item, newer).send().await?;
        Ok(())
    }

    /// What the last measured recovery of a service took.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn measured_start(&self, service: &ServiceKey) -> Result<Option<Seconds>, RegisterError> {
        let key = keys::measured_start(service);
        let Some(item) = self.table.get(&key).await? else { return Ok(None) };
        let measured: MeasuredStart = from_item(&key, item)?;
        Ok(Some(measured.recovery_time))
    }
}
