//! A step's answer, as state machines get it.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use rekindle_step::{DynamicStep, ErrorName, StepContext, StepError};
use serde_json::Value;

/// What a state machine is told of a failed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A name that does not change.
    pub error: String,
    /// What was being done, everything underneath, and what a person should do.
    pub cause: String,
}

impl From<&StepError> for Failure {
    fn from(error: &StepError) -> Self {
        Self { error: error.name.as_str().to_owned(), cause: cause(error) }
    }
}

/// What is underneath an input that cannot be read repeats some of it, and it may hold a task token.
fn cause(error: &StepError) -> String {
    match error.name {
        ErrorName::InputInvalid => format!("{}. {}", error.what, error.next_step),
        _ => error.chain(),
    }
}

/// Runs a step. A panic ends only this invocation: it is a fault of the program, so that trying again does not help, and
/// nobody knows what was done before it.
///
/// # Errors
/// The step's, or `Step.PermanentDirty` for a panic.
pub async fn answer(
    step: &dyn DynamicStep,
    payload: Value,
    context: &StepContext,
) -> Result<Value, StepError> {
    AssertUnwindSafe(step.invoke(payload, context)).catch_unwind().await.unwrap_or_else(|_panic| {
        Err(StepError::dirty(format!("{} broke off: a fault of the program", step.name()))
            .next_step("Look for its panic in the log of this invocation, and report it"))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "the test is about a panic")]
    use async_trait::async_trait;
    use rekindle_step::{Step, erase};
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    struct Divide;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        by: u32,
    }

    #[async_trait]
    impl Step for Divide {
        const NAME: &'static str = "divide";
        type Input = Pair;
        type Output = u32;

        async fn run(&self, input: Pair, _context: &StepContext) -> Result<u32, StepError> {
            assert!(input.by != 0, "sesame");
            12_u32.checked_rem(input.by).map(|_| 12 / input.by).ok_or_else(|| panic!())
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_with_a_name_that_says_nothing_of_the_payload() {
        let step = erase(Divide);
        let context = StepContext { state: "Divide".to_owned() };
        assert_eq!(answer(step.as_ref(), json!({ "by": 3 }), &context).await.unwrap(), 4);
        let error = answer(step.as_ref(), json!({ "by": 0 }), &context).await.unwrap_err();
        let failure = Failure::from(&error);
        assert_eq!(failure.error, "Step.PermanentDirty");
        assert!(failure.cause.starts_with("divide broke off"), "{}", failure.cause);
        assert!(!failure.cause.contains("sesame"));
    }

    #[tokio::test]
    async fn an_input_that_cannot_be_read_is_not_repeated() {
        let step = erase(Divide);
        let context = StepContext { state: "Divide".to_owned() };
        let error = answer(step.as_ref(), json!({ "by": "sesame" }), &context).await.unwrap_err();
        let failure = Failure::from(&error);
        assert_eq!(failure.error, "Step.InputInvalid");
        assert!(!failure.cause.contains("sesame"), "{}", failure.cause);
    }
}
