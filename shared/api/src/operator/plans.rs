//! Recovery plans, named by their digest.

use rekindle_domain::PlanId;

use super::OperatorApi;
use super::code::Code;
use super::error::OperatorApiError;
use super::recoveries::Preview;

impl OperatorApi {
    /// A plan: of a recovery, or of a preview.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn plan(&self, plan_id: &PlanId) -> Result<Preview, OperatorApiError> {
        let plan = self.register.plan(plan_id).await?;
        let plan = plan.ok_or_else(|| {
            OperatorApiError::new(Code::PlanUnknown, format!("There is no plan {plan_id}."))
        })?;
        Ok(Preview { plan_id: plan_id.clone(), plan })
    }
}
