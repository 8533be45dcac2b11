//! Where reports are kept.

use rekindle_domain::{ObjectKey, RunId};
use rekindle_step::StepError;

/// Where a report lies in the control bucket.
///
/// # Errors
/// Never for ids that were parsed; the type asks for it.
pub fn report_key(customer_id: &str, run_id: &RunId, ending: &str) -> Result<ObjectKey, StepError> {
    ObjectKey::parse(&format!("customers/{customer_id}/reports/{run_id}.{ending}"))
        .map_err(|error| StepError::permanent("the report has no place in the store").because(error))
}
