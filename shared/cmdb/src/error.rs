//! Why the register did not do what it was asked.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use rekindle_domain::human_task::HumanTaskId;
use rekindle_domain::{ImageId, InstanceId, JobId, MachineKey, RunId, RunState};
use rekindle_step::{ErrorName, Leftovers, StepError};

use crate::records::Lease;

type Source = Box<dyn Error + Send + Sync>;

/// Why the register did not do what it was asked. `Display` says this layer only.
///
/// No variant holds a request or an answer of DynamoDB, since those can hold task tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The run may not begin anything any more.
    #[error("run {run_id} is closed")]
    RunClosed {
        /// The run.
        run_id: RunId,
    },
    /// The run's lease is not the machine's current one.
    #[error("run {run_id} does not hold the lease of {machine}{}", held_by(.holder.as_deref()))]
    FenceLost {
        /// The run.
        run_id: RunId,
        /// The machine.
        machine: MachineKey,
        /// Who holds it now.
        holder: Option<Box<Lease>>,
    },
    /// Another run has the lease.
    #[error("the lease is held by run {} since {}", .lease.run_id, .lease.taken_at)]
    LeaseHeld {
        /// The lease that is held.
        lease: Lease,
    },
    /// What is registered is newer than what was to be registered.
    #[error("{machine} has the newer image {newest} already, so {image_id} is not registered")]
    Superseded {
        /// The machine.
        machine: MachineKey,
        /// The older one.
        image_id: ImageId,
        /// The newest one.
        newest: ImageId,
    },
    /// The stored value has changed since it was read.
    #[error("{what} was changed meanwhile: version {expected} was to be replaced, version {found} is stored")]
    VersionMoved {
        /// The value.
        what: String,
        /// What the writer had read; 0 for nothing.
        expected: u64,
        /// What is stored; 0 for nothing.
        found: u64,
    },
    /// Something else is stored under the same name.
    #[error("{what} is recorded already with another content")]
    Conflict {
        /// The value.
        what: String,
    },
    /// The evidence of an image does not prove it.
    #[error("image {image_id} is not proven: {sentence}")]
    NotProven {
        /// The image.
        image_id: ImageId,
        /// What is missing.
        sentence: String,
    },
    /// The instance has no unfinished job of this step.
    #[error("instance {instance_id} has no unfinished job {step:?}")]
    JobGone {
        /// The instance.
        instance_id: InstanceId,
        /// The step.
        step: String,
    },
    /// The job is not posted.
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    /// The run is in a state from which the step is not allowed.
    #[error("run {run_id} is {state:?}, {needed}")]
    WrongState {
        /// The run.
        run_id: RunId,
        /// Its state.
        state: RunState,
        /// What the step needs.
        needed: &'static str,
    },
    /// The decision does not count.
    #[error("the decision on human task {human_task_id} does not count: {reason}")]
    DecisionRefused {
        /// The human task.
        human_task_id: HumanTaskId,
        /// Why.
        reason: DecisionRefusal,
    },
    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The register does not know it.
    #[error("{kind} {id} is not in the register")]
    Unknown {
        /// What was looked for.
        kind: &'static str,
        /// Its name.
        id: String,
    },
    /// Others kept writing the same item.
    #[error("{doing} was given up: others kept writing the same item")]
    Contention {
        /// What was being done.
        doing: &'static str,
    },
    /// The database did not answer, or asked to come back later.
    #[error("{doing} was not answered by the database")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
    /// The database refused the request itself.
    #[error("{doing} was refused by the database")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
    /// A stored item cannot be read, or a value cannot be stored.
    #[error("the item {key} of the register cannot be read or written")]
    Unreadable {
        /// Where it lies.
        key: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// The embedded register's file cannot be opened.
    #[error("the register {path} cannot be opened")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Source,
    },
}

/// Why a decision does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecisionRefusal {
    /// Whoever asked cannot decide.
    #[error("whoever asked cannot decide")]
    Requester,
    /// It came after the deadline.
    #[error("the deadline has passed")]
    Deadline,
    /// Somebody decided otherwise before.
    #[error("somebody has decided already")]
    Decided,
    /// The run does not wait any more.
    #[error("the run does not wait for it any more")]
    Exited,
}

fn held_by(holder: Option<&Lease>) -> String {
    match holder {
        Some(lease) => format!(": run {} has it with fence {}", lease.run_id, lease.fence),
        None => ": nobody has it".to_owned(),
    }
}

/// Codes by which DynamoDB asks to come back later. A conflict of transactions is one of them.
const TRANSIENT_CODES: [&str; 10] = [
    "InternalServerError",
    "InternalServerErrorException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

impl RegisterError {
    /// Sorts an error of the client. The request and the raw answer are dropped here.
    pub(crate) fn from_client<E>(doing: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let transient = match &error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or_default();
                TRANSIENT_CODES.contains(&code) || (status >= 500 && status != 501)
            }
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
            _ => false,
        };
        let source = error.into_source().unwrap_or_else(|_| "the client gave no reason".into());
        if transient { Self::Unavailable { doing, source } } else { Self::Refused { doing, source } }
    }

    /// A request that cannot even be built.
    pub(crate) fn from_build(doing: &'static str, error: aws_sdk_dynamodb::error::BuildError) -> Self {
        Self::Refused { doing, source: Box::new(error) }
    }

    /// What state machines match.
    pub fn name(&self) -> ErrorName {
        match self {
            Self::RunClosed { .. } => ErrorName::RunClosed,
            Self::FenceLost { .. } | Self::LeaseHeld { .. } => ErrorName::FenceLost,
            Self::Superseded { .. } | Self::VersionMoved { .. } => ErrorName::Superseded,
            Self::NotProven { .. } => ErrorName::VerificationFailed,
            Self::Unknown { kind: "service" | "machine", .. } => ErrorName::UnknownService,
            Self::Contention { .. } | Self::Unavailable { .. } => ErrorName::Transient,
            _ => ErrorName::Permanent,
        }
    }

    fn next_step(&self) -> &'static str {
        match self {
            Self::RunClosed { .. } => "Nothing is to be done: destroy is at work, or the run has ended",
            Self::FenceLost { .. } | Self::LeaseHeld { .. } => {
                "Nothing is to be done: the run that holds the lease sees to the machine"
            }
            Self::Superseded { .. } => "Nothing is to be done: the newer image stays",
            Self::VersionMoved { .. } => "Read the value again, and decide again",
            Self::Refused { .. } => {
                "Check the table's name, the role's permissions on it, and the length of what is stored"
            }
            Self::Unreadable { .. } => {
                "Check that the register was written by this version or the one before"
            }
            _ => "",
        }
    }
}

impl From<RegisterError> for StepError {
    fn from(error: RegisterError) -> Self {
        let name = error.name();
        let what = error.to_string();
        let next_step = error.next_step();
        let source = match error {
            RegisterError::Unavailable { source, .. }
            | RegisterError::Refused { source, .. }
            | RegisterError::Unreadable { source, .. }
            | RegisterError::File { source, .. } => Some(source),
            _ => None,
        };
        Self { name, what, next_step: next_step.to_owned(), leftovers: Leftovers::None, source }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::http::HttpResponse;
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::get_item::GetItemError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn answered(status: u16, code: &str) -> RegisterError {
        let status = StatusCode::try_from(status).unwrap_or_else(|_| unreachable!("a status of this test"));
        let metadata = ErrorMetadata::builder().code(code).message("as DynamoDB words it").build();
        let raw = HttpResponse::new(status, SdkBody::from("the raw answer, which may hold a token"));
        RegisterError::from_client(
            "reading an item",
            SdkError::service_error(GetItemError::generic(metadata), raw),
        )
    }

    #[test]
    fn what_may_pass_is_transient_and_what_stays_is_permanent() {
        for (status, code, name) in [
            (400, "ProvisionedThroughputExceededException", ErrorName::Transient),
            (400, "ThrottlingException", ErrorName::Transient),
            (400, "TransactionConflictException", ErrorName::Transient),
            (500, "InternalServerError", ErrorName::Transient),
            (503, "", ErrorName::Transient),
            (400, "ValidationException", ErrorName::Permanent),
            (400, "AccessDeniedException", ErrorName::Permanent),
            (400, "ResourceNotFoundException", ErrorName::Permanent),
        ] {
            assert_eq!(answered(status, code).name(), name, "{code}");
        }
    }

    #[test]
    fn the_raw_answer_is_dropped_and_the_reason_is_kept() {
        let error = answered(400, "ValidationException");
        assert!(error.source().is_some());
        let text = format!("{error:?}");
        assert!(text.contains("as DynamoDB words it") && !text.contains("token"), "{text}");
        let text = StepError::from(error).chain();
        assert!(text.contains("reading an item") && !text.contains("token"), "{text}");
    }
}
