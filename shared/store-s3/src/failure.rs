//! What S3 refuses, sorted once.
//!
//! A permission that is missing is [`StoreError::Refused`] and not `Unavailable`: only a person can change it, so that
//! trying again would hide for as long as the tries last which permission it is. A list has no key to refuse; it fails
//! as `Unavailable` with the same sentence.

use std::error::Error;
use std::io;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId as _;
use rekindle_domain::ObjectKey;
use rekindle_store::StoreError;

use crate::bucket::Bucket;

/// What was asked of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Describe,
    Read,
    Write,
    Delete,
    List,
}

impl Act {
    fn doing(self) -> &'static str {
        match self {
            Self::Describe => "looking at",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Delete => "removing",
            Self::List => "listing",
        }
    }

    /// What may be missing when S3 denies it.
    fn permissions(self) -> &'static str {
        match self {
            // Without the right to list, S3 does not even say that there is no such object.
            Self::Describe => {
                "the role lacks s3:GetObject, or there is no such object and it lacks s3:ListBucket"
            }
            Self::Read => {
                "the role lacks s3:GetObject, or kms:Decrypt on the bucket's key, or there is no such object and it \
                 lacks s3:ListBucket"
            }
            Self::Write => {
                "the role lacks s3:PutObject, or kms:GenerateDataKey (and kms:Decrypt for more than one part) on the \
                 bucket's key"
            }
            Self::Delete => "the role lacks s3:DeleteObject",
            Self::List => "the role lacks s3:ListBucket",
        }
    }
}

/// Why S3 did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is no such object.
    Absent,
    /// There is one, and the condition was that there is none.
    Present,
    /// Another request on the same key is under way; S3 asks to send this one again.
    Conflict,
    /// The object ends before the range.
    Range,
    /// The upload in parts is not known, or not any more.
    UploadGone,
    /// A permission is missing.
    Denied,
    /// S3 can never do it with this object.
    Impossible(&'static str),
    /// Anything else, with what can be said about it.
    Other(&'static str),
}

/// A refusal, and what S3 said.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    act: Act,
    source: io::Error,
}

impl Refusal {
    /// Sorts an error of the client. The client has repeated what may pass (throttling, 5xx, timeouts) already.
    pub(crate) fn of<E>(act: Act, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let SdkError::ServiceError(answer) = &error {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or_default();
            let message = answer.err().message().unwrap_or("it gave no reason");
            // The request id is what AWS's support asks for.
            let request_id = error.request_id().unwrap_or("unknown");
            let said = format!("S3 said {status} {code}: {message}; request {request_id}");
            return Self::said(act, kind_of(status, code), said);
        }
        let (kind, io_kind) = match &error {
            SdkError::TimeoutError(_) => (Kind::Other(NO_ANSWER), io::ErrorKind::TimedOut),
            SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
                (Kind::Other(NO_ANSWER), io::ErrorKind::Other)
            }
            _ => (Kind::Other("the request could not be made"), io::ErrorKind::Other),
        };
        let source = error.into_source().unwrap_or_else(|_| "the client gave no reason".into());
        Self { kind, act, source: io::Error::new(io_kind, source) }
    }

    fn said(act: Act, kind: Kind, said: String) -> Self {
        let denied = kind == Kind::Denied;
        let io_kind = if denied { io::ErrorKind::PermissionDenied } else { io::ErrorKind::Other };
        Self { kind, act, source: io::Error::new(io_kind, said) }
    }

    /// The store's error for one object.
    pub(crate) fn into_error(self, bucket: &Bucket, key: &ObjectKey) -> StoreError {
        let key = key.clone();
        let name = &bucket.name;
        match self.kind {
            Kind::Absent => StoreError::NotFound { key },
            Kind::Present => StoreError::AlreadyExists { key },
            Kind::Denied => {
                let reason = format!(
                    "{} it in bucket {name} was denied: {}, or the bucket's policy denies it ({})",
                    self.act.doing(),
                    self.act.permissions(),
                    self.source
                );
                StoreError::Refused { key, reason }
            }
            Kind::Impossible(reason) => {
                StoreError::Refused { key, reason: format!("{reason} ({})", self.source) }
            }
            kind => {
                let what = format!(
                    "{} the object {key} in bucket {name} failed: {}",
                    self.act.doing(),
                    sentence(kind)
                );
                StoreError::Unavailable { what, source: self.source }
            }
        }
    }

    /// The store's error for a list.
    pub(crate) fn into_list_error(self, bucket: &Bucket, prefix: &str) -> StoreError {
        let why = match self.kind {
            Kind::Denied => {
                format!("{}, or the bucket's policy denies it", Act::List.permissions())
            }
            kind => sentence(kind).to_owned(),
        };
        let what = format!("listing the objects under {prefix:?} in bucket {} failed: {why}", bucket.name);
        StoreError::Unavailable { what, source: self.source }
    }
}

const NO_ANSWER: &str = "no answer came";
const REFUSED: &str = "S3 did not do it";

fn sentence(kind: Kind) -> &'static str {
    match kind {
        Kind::Conflict => "others kept writing the same key",
        Kind::UploadGone => "the upload was aborted meanwhile",
        Kind::Other(sentence) | Kind::Impossible(sentence) => sentence,
        _ => REFUSED,
    }
}

/// Answers to HEAD have no code, only a status.
fn kind_of(status: u16, code: &str) -> Kind {
    match (status, code) {
        (_, "NoSuchBucket") => Kind::Other("there is no such bucket"),
        (_, "NoSuchUpload") => Kind::UploadGone,
        (_, "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed") | (301 | 307, _) => {
            Kind::Other("the bucket lies in another region than the one that is configured")
        }
        (_, "RequestTimeTooSkewed") => Kind::Other("the clock of this machine is wrong"),
        (_, "ExpiredToken" | "InvalidToken") => Kind::Other("the credentials are not valid any more"),
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch") => Kind::Other("the credentials are wrong"),
        (_, "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch") => {
            Kind::Other("the bytes were damaged on their way")
        }
        (_, "InvalidObjectState") => Kind::Impossible("it is archived, and has to be restored first"),
        (_, "EntityTooLarge") => Kind::Impossible("it is longer than S3 keeps objects"),
        (_, "ConditionalRequestConflict" | "OperationAborted") => Kind::Conflict,
        (404, _) => Kind::Absent,
        (412, _) => Kind::Present,
        (416, _) => Kind::Range,
        (403, _) => Kind::Denied,
        (409, _) => Kind::Conflict,
        (429 | 500..=599, _) => Kind::Other("S3 is busy or out of order"),
        _ => Kind::Other(REFUSED),
    }
}
