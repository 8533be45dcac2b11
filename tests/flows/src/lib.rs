//! Every Task of every flow, broken in every way, in virtual time.
//!
//! A case is a [`scenario`](scenario::Scenario) (a refresh, a rehearsal, a disaster), a Task of one of its flows, and a
//! [fault](faults::Fault). Which Tasks there are is read from the state machine files, so a new one is broken without
//! being named here. After each case everything that must always hold is [checked](invariants) against what the
//! simulated cloud really holds.
//!
//! Read `world` first: what a case is built of. Then `faults`, `matrix` and `invariants`.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

pub mod agent;
pub mod executions;
pub mod faults;
pub mod invariants;
pub mod matrix;
pub mod scenario;
pub mod store;
pub mod world;
