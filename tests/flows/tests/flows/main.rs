//! The proof: run with `cargo test -p rekindle-flow-tests`.
#![expect(clippy::unwrap_used, reason = "test code")]

mod every_task;
mod language;
mod stories;
mod teeth;
