//! The proof: run with `cargo test -p rekindle-flow-tests`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod every_task;
mod language;
mod stories;
mod teeth;
