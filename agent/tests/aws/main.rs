//! The agent on AWS: what it signs, what it asks KMS, what it reads from the instance metadata, and a whole life of an
//! instance. The tests that need emulators of S3 and KMS are ignored without them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod caller_role;
mod emulated;
mod identity;
mod instance;
mod orchestrator;
mod recorded;
mod signed_api;
mod verification;
#[expect(dead_code, reason = "shared with the agent's other tests, which need more of it")]
#[path = "../agent/world.rs"]
mod world;
