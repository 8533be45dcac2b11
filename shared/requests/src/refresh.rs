//! Asking for a refresh.

use rekindle_domain::{Flow, MachineKey, RunId};
use rekindle_step::{StartError, StepError, Workflow};

/// Starts a refresh; one that runs already under this id is the same refresh.
///
/// # Errors
/// Transient, when the workflow engine cannot be reached: the sweep starts what was recorded and never begun.
pub async fn start_refresh(
    workflow: &dyn Workflow,
    run_id: &RunId,
    machine: &MachineKey,
) -> Result<(), StepError> {
    let input = serde_json::json!({ "machine": machine });
    match workflow.start_execution(Flow::RefreshImage.state_machine(), run_id.as_str(), input).await {
        Ok(()) | Err(StartError::AlreadyExists(_)) => Ok(()),
        Err(error) => {
            Err(StepError::transient(format!("the refresh {run_id} could not be started")).because(error))
        }
    }
}
