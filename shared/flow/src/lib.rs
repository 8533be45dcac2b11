//! Reader and runner of exactly the Amazon States Language that the state machines of Rekindle use.
//!
//! A flow is one file, `statemachines/<flow>.asl.json`. AWS Step Functions runs it in production; this crate
//! runs the very same file in the embedded product and in every test. Two rules follow:
//!
//! * **It never guesses.** A field, state type, resource, function or variable it does not know is refused when
//!   the file is loaded ([`LoadError`]: file, state, reason), not when a disaster reaches that state.
//! * **It behaves as AWS does**, or says where it does not (the section *Differences* below).
//!
//! The runner lives on tokio and takes the time from tokio alone, so under `tokio::time::pause` a flow that waits
//! for weeks ends at once, with every time-out, heartbeat and retry at its exact virtual instant.
//!
//! ```
//! use std::sync::Arc;
//! use rekindle_flow::{Invocation, Runner, RunnerOptions, StateMachine, Substitutions, TaskError, TaskInvoker};
//! use serde_json::{Value, json};
//!
//! struct Greeter;
//!
//! #[async_trait::async_trait]
//! impl TaskInvoker for Greeter {
//!     async fn invoke(&self, invocation: Invocation) -> Result<Value, TaskError> {
//!         Ok(json!({ "greeting": format!("Hello {}", invocation.payload["name"]) }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"{
//!   "QueryLanguage": "JSONata",
//!   "StartAt": "Greet",
//!   "States": {
//!     "Greet": {
//!       "Type": "Task",
//!       "Resource": "arn:aws:states:::lambda:invoke",
//!       "Arguments": { "FunctionName": "${GreetFunction}", "Payload": { "name": "{% $states.input.name %}" } },
//!       "Output": "{% $states.result.Payload.greeting %}",
//!       "End": true
//!     }
//!   }
//! }"#;
//! let substitutions = Substitutions::new([("GreetFunction", "greet")]);
//! let machine = StateMachine::parse("greet.asl.json", text, &substitutions)?;
//! let runner = Runner::new(Arc::new(Greeter), RunnerOptions::default());
//! runner.add(machine);
//! runner.start_execution("greet", "first", json!({ "name": "Ada" })).await?;
//! let execution = runner.wait("greet", "first").await;
//! assert_eq!(execution.and_then(|execution| execution.output), Some(json!("Hello \"Ada\"")));
//! # Ok(())
//! # }
//! ```
//!
//! # What is read
//!
//! `Task` (the three resources of [`Integration`]), `Choice`, `Wait` (`Seconds`, `Timestamp`), `Pass`, `Map`
//! (`INLINE`; `DISTRIBUTED` with `STANDARD` children), `Succeed` and `Fail`; `Arguments`, `Assign`, `Output`,
//! `Retry`, `Catch`, `TimeoutSeconds`, `HeartbeatSeconds`; query language JSONata only. `Parallel`, every field
//! of JSONPath, item readers, batchers and result writers are refused.
//!
//! # Differences from AWS
//!
//! * A heartbeat that did not come is reported as `States.HeartbeatTimeout` everywhere. AWS matches that name in
//!   `Retry` and `Catch` but writes `States.Timeout` to its history. Here `States.Timeout` in `ErrorEquals` matches
//!   it too, and `States.TaskFailed` matches neither. Flows should name both.
//! * `States.DataLimitExceeded` is matched by its own name only, not by `States.TaskFailed`.
//! * The result of a distributed Map leaves out the children that failed within its tolerance.
//! * When an attempt times out or its execution is stopped, the invocation is dropped at its next await point. On
//!   AWS the function runs on: every task must be able to run twice.
//! * `$hash` knows SHA-256, SHA-384 and SHA-512 only; `$now` takes no picture; `$eval` (as on AWS) and `$shuffle`
//!   are refused.
//! * `Assign` and `Output` belong in the rules of a `Choice`, not beside them.
//! * Executions and their histories are in memory, and stay there as long as the runner: who needs them longer
//!   listens with a [`HistoryObserver`].

mod clock;
mod definition;
mod expression;
mod function;
mod history;
mod limit;
mod load_error;
mod lock;
mod randomness;
mod retry;
mod runner;

pub use definition::outline::{
    CatchOutline, Integration, RetryOutline, Seconds, StateOutline, TaskOutline, Transition,
};
pub use definition::{StateMachine, StateType, Substitutions};
pub use history::{EventType, HistoryEvent, HistoryObserver, REDACTED};
pub use load_error::LoadError;
pub use retry::JitterStrategy;
pub use runner::callback::CallbackError;
pub use runner::execution::{Execution, ExecutionId, ExecutionStatus};
pub use runner::{
    Invocation, Runner, RunnerOptions, StartError, StopError, TaskError, TaskInvoker, WeakRunner,
};
