//! A set description was created: starts a refresh of its machine. The description itself is not looked at: it only
//! wakes, and the flow finds out what is due.
//!
//! An event that is delivered twice starts one refresh. One that never comes is made up for by the sweep.

mod event;

use std::sync::Arc;

use async_trait::async_trait;
use rekindle_domain::{MachineKey, ObjectKey, RunId};
use rekindle_requests::refresh::start_refresh;
use rekindle_step::{Step, StepContext, StepError, Workflow};
use serde::Serialize;
use serde_json::Value;

use crate::event::ObjectCreated;

/// The step.
pub struct Wake {
    /// Whose events it takes.
    pub control_bucket: String,
    /// Is told to refresh.
    pub workflow: Arc<dyn Workflow>,
}

/// What was done, for whoever looks.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(tag = "status")]
pub enum Output {
    /// A refresh runs.
    Started {
        /// Its run.
        run_id: RunId,
        /// Whose image is refreshed.
        machine: MachineKey,
    },
    /// The object describes no set.
    Ignored,
}

#[async_trait]
impl Step for Wake {
    const NAME: &'static str = "wake";
    /// An event of EventBridge. AWS may add fields to it at any time, so that it is read apart from other inputs.
    type Input = Value;
    type Output = Output;

    async fn run(&self, input: Value, _context: &StepContext) -> Result<Output, StepError> {
        let event = ObjectCreated::read(&input, &self.control_bucket)?;
        let Some((machine, backup_id)) =
            ObjectKey::parse(&event.key).ok().as_ref().and_then(MachineKey::of_set_description)
        else {
            tracing::debug!("an object that describes no set");
            return Ok(Output::Ignored);
        };
        let run_id = event.run_id();
        start_refresh(self.workflow.as_ref(), &run_id, &machine).await?;
        tracing::info!(%run_id, %machine, %backup_id, "a refresh was started");
        Ok(Output::Started { run_id, machine })
    }
}

#[cfg(test)]
mod tests;
