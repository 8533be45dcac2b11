//! What EC2's errors mean. Decided here and nowhere else.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use rekindle_cloud::{CloudError, CloudErrorKind};

use crate::role::RoleRefused;

/// `UnauthorizedOperation` comes with a kilobyte for the administrator's decoder.
const LONGEST_MESSAGE: usize = 300;

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// It was never sent: the request itself is wrong.
    Construction,
    /// There was no answer in time; it may have had its effect.
    Timeout,
    /// It could not be sent or its answer was lost; it may have had its effect.
    Dispatch,
    /// There was an answer that nobody can read.
    Response,
    /// EC2 answered with an error.
    Service,
}

/// Each action has allowances that fill up again, and so has the making of snapshots.
const THROTTLED: &[&str] = &[
    "BandwidthLimitExceeded",
    "ConcurrentSnapshotLimitExceeded",
    "ConcurrentTagAccess",
    "EC2ThrottledException",
    "PendingSnapshotLimitExceeded",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "SnapshotCreationPerVolumeRateExceeded",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Definitive for this type in this zone. Quotas of instances are among them: they hold for a family of types, and the
/// next type may be of another family.
const NO_CAPACITY: &[&str] = &[
    "InstanceLimitExceeded",
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientVolumeCapacity",
    "InvalidInstanceType",
    "InvalidInstanceType.NotFound",
    "ReservationCapacityExceeded",
    // The type is not offered in the zone.
    "Unsupported",
    "VcpuLimitExceeded",
    "VolumeTypeNotAvailableInZone",
];

const WRONG_STATE: &[&str] = &[
    "DependencyViolation",
    "IncorrectInstanceState",
    "IncorrectState",
    "InvalidNetworkInterface.InUse",
    "InvalidSnapshot.InUse",
    "VolumeInUse",
];

/// Only of what this crate asks for: an unknown subnet, key or launch template is a mistake that no waiting mends.
const NOT_FOUND: &[&str] = &[
    "InvalidAMIID.NotFound",
    // Deregistered.
    "InvalidAMIID.Unavailable",
    "InvalidInstanceID.NotFound",
    "InvalidNetworkInterface.NotFound",
    "InvalidNetworkInterfaceID.NotFound",
    "InvalidSnapshot.NotFound",
    "InvalidVolume.NotFound",
];

/// The next try has a new signature, and new credentials where those were too old.
const UNCERTAIN: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InternalError",
    "InternalFailure",
    "RequestExpired",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "Unavailable",
];

/// Refusals that have nothing to do with what was asked for.
const OF_THE_CALLER: &[&str] = &[
    "AccessDenied",
    "AuthFailure",
    "Blocked",
    "InvalidClientTokenId",
    "OptInRequired",
    "UnauthorizedOperation",
];

/// What an error means for the caller's decision.
pub fn classify(code: Option<&str>, status: Option<u16>, failure: Failure) -> CloudErrorKind {
    match failure {
        Failure::Construction => CloudErrorKind::Refused,
        Failure::Timeout | Failure::Dispatch => CloudErrorKind::Uncertain,
        Failure::Response | Failure::Service => {
            code.and_then(kind_of_code).unwrap_or_else(|| kind_of_status(status))
        }
    }
}

/// What the code says goes before what the status says: capacity and throttling come with statuses of server errors.
fn kind_of_code(code: &str) -> Option<CloudErrorKind> {
    if code == "InvalidAMIName.Duplicate" {
        return Some(CloudErrorKind::NameTaken);
    }
    let kinds = [
        (THROTTLED, CloudErrorKind::Throttled),
        (NO_CAPACITY, CloudErrorKind::NoCapacity),
        (WRONG_STATE, CloudErrorKind::WrongState),
        (NOT_FOUND, CloudErrorKind::NotFound),
        (UNCERTAIN, CloudErrorKind::Uncertain),
    ];
    kinds.into_iter().find_map(|(codes, kind)| codes.contains(&code).then_some(kind))
}

/// "400-class: do not retry; 500-class: retry."
///
/// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>
fn kind_of_status(status: Option<u16>) -> CloudErrorKind {
    match status {
        Some(429) => CloudErrorKind::Throttled,
        Some(400..=499) => CloudErrorKind::Refused,
        _ => CloudErrorKind::Uncertain,
    }
}

/// Whether a refusal is about what the request asked for, so that another request may be granted.
pub(crate) fn is_about_the_request(code: &str) -> bool {
    !OF_THE_CALLER.contains(&code) && !code.starts_with("Idempotent") && kind_of_code(code).is_none()
}

/// The error of the port, with EC2's own error underneath.
pub(crate) fn explain<E>(what: impl AsRef<str>, error: SdkError<E>) -> CloudError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let (kind, reason) = match RoleRefused::under(&error) {
        Some(refused) => (CloudErrorKind::Refused, refused.to_string()),
        None => meaning(&error),
    };
    CloudError::new(kind, format!("{}: {reason}", what.as_ref())).because(error)
}

fn meaning<E>(error: &SdkError<E>) -> (CloudErrorKind, String)
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    (classify(error.code(), status, failure(error)), reason(error, status))
}

fn failure<E>(error: &SdkError<E>) -> Failure {
    match error {
        SdkError::ConstructionFailure(_) => Failure::Construction,
        SdkError::TimeoutError(_) => Failure::Timeout,
        SdkError::DispatchFailure(_) => Failure::Dispatch,
        SdkError::ServiceError(_) => Failure::Service,
        // Also what the SDK may add one day: the answer was not understood.
        _ => Failure::Response,
    }
}

fn reason<E>(error: &SdkError<E>, status: Option<u16>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match (error.code(), failure(error)) {
        (Some(code), _) => said(code, error.message()),
        (None, Failure::Construction) => "the request could not be made".to_owned(),
        (None, Failure::Timeout) => "EC2 did not answer in time".to_owned(),
        (None, Failure::Dispatch) => {
            format!("EC2 could not be reached, or its answer was lost ({})", deepest(error))
        }
        (None, Failure::Response | Failure::Service) => {
            format!(
                "EC2 answered {} without a reason",
                status.map_or("nothing".to_owned(), |s| s.to_string())
            )
        }
    }
}

/// A service's own words.
pub(crate) fn said(code: &str, message: Option<&str>) -> String {
    let message: String = message.unwrap_or_default().chars().take(LONGEST_MESSAGE).collect();
    format!("{code} ({message})")
}

/// What is at the bottom: a name that was not resolved, or a role that STS could not be asked for.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let deepest = std::iter::successors(Some(error), |error| error.source()).last();
    deepest.map(ToString::to_string).unwrap_or_default().chars().take(LONGEST_MESSAGE).collect()
}

/// Whether the place that answered does not know how to do this at all. EC2 itself gives every error a code; emulators
/// break off with a page that has none.
pub(crate) fn is_not_implemented(status: Option<u16>, code: Option<&str>) -> bool {
    status == Some(501) || status == Some(500) && code.is_none()
}

/// Success where the thing is gone already.
pub(crate) fn unless_unknown(result: Result<(), CloudError>) -> Result<(), CloudError> {
    match result {
        Err(error) if error.kind == CloudErrorKind::NotFound => Ok(()),
        result => result,
    }
}
