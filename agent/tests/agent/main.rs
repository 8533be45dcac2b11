//! The agent against real databases, a real store and real signatures, and against everything that can be wrong.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod command_line;
mod configuration;
mod installation;
mod memory;
mod postgres;
mod refusals;
mod serving;
mod sqlite;
mod world;
