//! Runs steps and interfaces as Lambda functions. No other crate uses `lambda_runtime` or `lambda_http`.
//!
//! The `main` of a function is one call: [`run_step`] for a Task, [`serve_http`] for an HTTP API. It says how its step
//! or router is made of what a [`Host`] offers. The host reads the environment and makes clients only for what is asked
//! of it, so that a function needs no variable and no right that its step does not use.
//!
//! A function must not be built with `panic = "abort"`: a panic would end the process before it is answered.

mod environment;
mod failure;
mod host;
mod http;
mod https;
mod init_error;
mod invocation;
mod log;
mod start;
mod workflow;

pub use environment::Environment;
pub use host::{Host, POLL_SECONDS};
pub use http::Callers;
pub use start::{run_step, serve_http};
pub use workflow::{StateMachines, StepFunctions};
