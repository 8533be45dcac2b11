//! When a request met another one on the same items: DynamoDB refuses both, or one of them, and each asks again.
//!
//! The client repeats what is throttled, broken off or answered with 5xx. It does not repeat conflicts, which on AWS
//! are an everyday matter: a write of one item that is just then in somebody's transaction is refused with one.
//! The embedded register takes one request at a time and has none.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// Codes of a request that met another one. Nothing was written, or this very request is still being worked on.
const MEETINGS: [&str; 3] =
    ["ReplicatedWriteConflictException", "TransactionConflictException", "TransactionInProgressException"];

/// Whether a request is to be sent again because it met another one.
pub(super) fn met_another<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code.is_some_and(|code| MEETINGS.contains(&code))
}

/// Waits before another try, longer each time, and for another time than the one that was met: at most an eighth of a
/// second, so that all tries together take a few seconds.
pub(super) async fn back_off(tries: u32) {
    let longest = 4_u64 << tries.min(5);
    tokio::time::sleep(Duration::from_millis(rand::random_range(1..=longest))).await;
}
