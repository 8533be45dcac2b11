//! The local cloud on this machine, with real instances. Where the machine does not allow them, these tests fail and say
//! what is missing.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod contract;
mod databases;
mod images;
mod instances;
mod leavings;
mod measurements;
mod ownership;
mod site;
