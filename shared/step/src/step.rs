//! The contract that every function fulfils.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{ErrorName, StepError};

/// What the host of a step knows about its invocation.
#[derive(Debug, Clone)]
pub struct StepContext {
    /// The state that invokes it.
    pub state: String,
}

/// One Task. It may be run twice with the same input, and it may be cut off anywhere.
#[async_trait]
pub trait Step: Send + Sync + 'static {
    /// The function's name: its folder under `functions/`.
    const NAME: &'static str;
    /// What the state machine passes; unknown fields are refused.
    type Input: DeserializeOwned + Send;
    /// What the state machine gets.
    type Output: Serialize + Send;

    /// Does the work.
    async fn run(&self, input: Self::Input, context: &StepContext) -> Result<Self::Output, StepError>;
}

/// A step whose types are JSON, as hosts keep it.
#[async_trait]
pub trait DynamicStep: Send + Sync {
    /// The function's name.
    fn name(&self) -> &'static str;
    /// Reads the input, does the work, writes the output.
    async fn invoke(&self, input: Value, context: &StepContext) -> Result<Value, StepError>;
}

struct Erased<S>(S);

#[async_trait]
impl<S: Step> DynamicStep for Erased<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    async fn invoke(&self, input: Value, context: &StepContext) -> Result<Value, StepError> {
        let input: S::Input = serde_json::from_value(input).map_err(|error| {
            StepError::new(ErrorName::InputInvalid, format!("the input of {} cannot be read", S::NAME))
                .because(error)
                .next_step(
                    "State machine and function are of different versions: deploy both from one release",
                )
        })?;
        let output = self.0.run(input, context).await?;
        serde_json::to_value(output).map_err(|error| {
            StepError::dirty(format!("the output of {} cannot be written", S::NAME)).because(error)
        })
    }
}

/// Makes a step usable by hosts that know no types.
pub fn erase<S: Step>(step: S) -> Arc<dyn DynamicStep> {
    Arc::new(Erased(step))
}
