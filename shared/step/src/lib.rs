//! What a Task of a state machine is, wherever it runs.
//!
//! A step has a typed input and output and answers with a [`StepError`] that says what was being done, whether
//! trying again helps, what may be left behind and what a person should do. The *names* of errors are a contract with
//! the state machines: [`ErrorName`] lists them all, and a test holds every `ErrorEquals` against the list.

mod answer;
mod clock;
mod error;
mod step;
mod workflow;

pub use answer::JobAnswer;
pub use clock::{Clock, SystemClock, VirtualClock};
pub use error::{ErrorName, Leftovers, StepError};
pub use step::{DynamicStep, Step, StepContext, erase};
pub use workflow::{CallbackError, ExecutionState, StartError, Workflow};
