//! Recovery plans: immutable, named by their digest.

use rekindle_domain::{PlanId, RecoveryPlan};

use crate::attributes::{key_attributes, unreadable};
use crate::document;
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::register::Register;

impl Register {
    /// Stores a plan under its digest; the same plan again is the same plan.
    pub async fn put_plan(&self, plan: &RecoveryPlan) -> Result<PlanId, RegisterError> {
        let unwritable = |error| RegisterError::Unreadable {
            key: format!("plan of run {}", plan.run_id),
            source: Box::new(error),
        };
        let plan_id = plan.plan_id().map_err(|error: serde_json::Error| unwritable(error))?;
        let mut item = key_attributes(&keys::plan(&plan_id));
        document::store(&self.table, &mut item, plan).await?;
        // Refused means that it is there already: the same digest is the same content.
        self.table.put(item, Expression::absent()).send().await?;
        Ok(plan_id)
    }

    /// The plan with this digest.
    ///
    /// # Errors
    /// [`RegisterError::Unreadable`] when what is stored has another digest.
    pub async fn plan(&self, plan_id: &PlanId) -> Result<Option<RecoveryPlan>, RegisterError> {
        let key = keys::plan(plan_id);
        let Some(item) = self.table.get(&key).await? else {
            return Ok(None);
        };
        let plan: RecoveryPlan = document::load(&self.table, &item).await?;
        let found = plan.plan_id().map_err(|error| unreadable(&key, error))?;
        if found != *plan_id {
            let source = "the stored plan has another digest".into();
            return Err(RegisterError::Unreadable { key: key.to_string(), source });
        }
        Ok(Some(plan))
    }
}
