//! The operator API over an embedded register, a control bucket in a folder, and a workflow engine that writes down what
//! it is told.
#![expect(clippy::unwrap_used, reason = "tests")]

mod configurations;
mod document;
mod human_tasks;
mod lists;
mod onboarding;
mod recoveries;
mod register;
mod requests;
mod runs;
mod schema;
mod target_image;
mod workflow;
mod world;
