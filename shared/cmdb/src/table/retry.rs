//! When a request met another one on the same items: DynamoDB refuses both, or one of them, and each asks again.
//!
//! The client repeats what is throttled, broken off or answered with 5xx. It does not repeat conflicts, which on AWS
//! are an everyday matter: a write of one item that is just then in somebody's transaction is refused with one.
//! The embedded register takes one request at a time and has none.

use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use super::MOST_TRIES;
use crate::error::RegisterError;

/// Codes of a request that met another one. Nothing was written, or this very request is still being worked on.
const MEETINGS: [&str; 3] =
    ["ReplicatedWriteConflictException", "TransactionConflictException", "TransactionInProgressException"];

/// Code of a write whose condition did not hold.
const UNMET: &str = "ConditionalCheckFailedException";

/// Sends a write of one item, again as long as it meets another one; answers nothing where its condition did not hold.
pub(super) async fn write<T, E, F>(
    doing: &'static str,
    send: impl Fn() -> F,
) -> Result<Option<T>, RegisterError>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    for tries in 0..MOST_TRIES {
        match send().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if code(&error) == Some(UNMET) => return Ok(None),
            Err(error) if met_another(&error) => back_off(tries).await,
            Err(error) => return Err(RegisterError::from_client(doing, error)),
        }
    }
    Err(RegisterError::Contention { doing })
}

/// Whether a request is to be sent again because it met another one.
pub(super) fn met_another<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    code(error).is_some_and(|code| MEETINGS.contains(&code))
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Waits before another try, longer each time, and for another time than the one that was met: at most an eighth of a
/// second, so that all tries together take a few seconds.
pub(super) async fn back_off(tries: u32) {
    let longest = 4_u64 << tries.min(5);
    tokio::time::sleep(Duration::from_millis(rand::random_range(1..=longest))).await;
}
