//! The language as it is read and run, under virtual time. Each case names where its expectation comes from:
//! *Specification* is the Amazon States Language at states-language.net, *AWS* a page of the Step Functions guide or API.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop there")]

mod bench;
mod callback;
mod execution;
mod expression;
mod history;
mod load;
mod map;
mod outline;
mod recovery;
mod state;
mod time;
