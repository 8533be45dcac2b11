//! How a failed call of AWS is told: its code and no more than that, because messages can repeat what was sent.

use std::error::Error;

use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};

/// One line about a failed call. Parameters, headers and the answer's text stay out of it.
pub(crate) fn line<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    match error {
        SdkError::ServiceError(answer) => {
            answer.err().code().unwrap_or("the answer has no error code").to_owned()
        }
        SdkError::TimeoutError(_) => "no answer came in time".to_owned(),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(error) => innermost(error),
            None => "the request could not be sent".to_owned(),
        },
        SdkError::ResponseError(_) => "the answer cannot be read".to_owned(),
        _ => "the request could not be made".to_owned(),
    }
}

/// What a lost connection is called by whoever noticed it.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
