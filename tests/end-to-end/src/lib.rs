//! The demo and bad input with real databases in real local instances.
//!
//! Two halves. The first runs the built command as its users do, as root and as an ordinary user, and looks for itself
//! at what is left: read [`account`], [`demo`] and [`machine`]. The second opens a [`world`] from the library crates,
//! with a production host, a store and a site whose instances run the real agent, and puts bad input into the store.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

pub mod account;
pub mod contents;
pub mod demo;
pub mod machine;
pub mod outcome;
mod patience;
pub mod program;
pub mod terminal;
pub mod world;
