//! The quotas of AWS Step Functions that a flow can run into.

use serde_json::Value;

/// The most bytes of JSON that an input, an output or an argument may have: 256 KiB.
pub(crate) const PAYLOAD_BYTES: usize = 262_144;

/// The most events that the history of one execution may have.
pub(crate) const HISTORY_EVENTS: u64 = 25_000;

/// The most characters that a state, a variable or an execution may have in its name.
pub(crate) const NAME_CHARACTERS: usize = 80;

/// The longest time-out, wait or retry interval, in seconds.
pub(crate) const SECONDS: u64 = 99_999_999;

/// The most iterations of an inline Map that run at once, whatever `MaxConcurrency` says.
pub(crate) const INLINE_CONCURRENCY: usize = 40;

/// The most children of a distributed Map that run at once, whatever `MaxConcurrency` says.
pub(crate) const DISTRIBUTED_CONCURRENCY: usize = 10_000;

/// Whether a value is small enough to be passed on.
pub(crate) fn fits(value: &Value) -> bool {
    value.to_string().len() <= PAYLOAD_BYTES
}
