//! From the kernel's errors to the port's.

use std::error::Error as _;
use std::io;

use rekindle_cloud::{CloudError, CloudErrorKind};

/// Adds what was being done to an error of the machine.
pub(crate) trait Explain<T> {
    /// The port's error, saying what was being done.
    fn explain(self, what: impl FnOnce() -> String) -> Result<T, CloudError>;
}

impl<T, E: Into<io::Error>> Explain<T> for Result<T, E> {
    fn explain(self, what: impl FnOnce() -> String) -> Result<T, CloudError> {
        self.map_err(|error| {
            let error = error.into();
            CloudError::new(kind_of(&error), what()).because(error)
        })
    }
}

fn kind_of(error: &io::Error) -> CloudErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CloudErrorKind::NoCapacity,
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => CloudErrorKind::Refused,
        _ => CloudErrorKind::Uncertain,
    }
}

/// The error with everything underneath it, in one sentence.
pub(crate) fn sentence(error: &CloudError) -> String {
    let mut text = error.what.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The provider will always refuse this.
pub(crate) fn refused(what: impl Into<String>) -> CloudError {
    CloudError::new(CloudErrorKind::Refused, what)
}

/// There is no such thing.
pub(crate) fn unknown(what: impl Into<String>) -> CloudError {
    CloudError::new(CloudErrorKind::NotFound, what)
}

/// Not in this state.
pub(crate) fn wrong_state(what: impl Into<String>) -> CloudError {
    CloudError::new(CloudErrorKind::WrongState, what)
}

/// It may or may not have happened.
pub(crate) fn uncertain(what: impl Into<String>) -> CloudError {
    CloudError::new(CloudErrorKind::Uncertain, what)
}
