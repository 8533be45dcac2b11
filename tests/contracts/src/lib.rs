//! One suite per port, run against every implementation.
//!
//! A suite says what callers may rely on, and nothing about how an implementation does it. To run one against another
//! implementation, write a test in `tests/` that makes it and calls the suite; or in the implementation's own crate,
//! where it brings what no other test should have to compile, as the clients of AWS do.
//! [`StartedExecutions`] is no suite: it is what tests hand to those who start executions.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the suites are tests: what does not answer has failed"
)]

mod cloud_provider;
mod object_store;
mod started_executions;

pub use cloud_provider::{CloudEnvironment, CloudPromise, cloud_provider};
pub use object_store::object_store;
pub use started_executions::{StartedExecution, StartedExecutions};
