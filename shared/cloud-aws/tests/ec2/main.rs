//! EC2 as this crate uses it: what is asked, what is made of the answers, and the contract against an emulator.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod answers;
mod emulator;
mod environment;
mod errors;
mod finding;
mod images;
mod instances;
mod launching;
mod promises;
mod recorder;
