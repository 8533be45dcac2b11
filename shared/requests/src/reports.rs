//! Where reports are kept.

use rekindle_domain::{ObjectKey, RunId};
use rekindle_step::StepError;

/// The longest report that is read: what a Lambda function may answer, less its envelope.
pub const LONGEST_REPORT_BYTES: u64 = 5 * 1024 * 1024;

/// Where a report lies in the control bucket.
///
/// # Errors
/// Never for ids that were parsed; the type asks for it.
pub fn report_key(customer_id: &str, run_id: &RunId, ending: &str) -> Result<ObjectKey, StepError> {
    ObjectKey::parse(&format!("customers/{customer_id}/reports/{run_id}.{ending}"))
        .map_err(|error| StepError::permanent("the report has no place in the store").because(error))
}
