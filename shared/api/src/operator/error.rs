//! What the operator API answers in place of what was asked for.

use rekindle_cmdb::RegisterError;
use rekindle_planning::{RecoveryUnplannable, TargetImageRefusal};
use rekindle_requests::recovery::PlanError;
use rekindle_step::StepError;

use super::code::Code;
use crate::plain_text::{LONGEST_CAUSE, plain};

/// Why a request was refused. It holds nothing that the caller may not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct OperatorApiError {
    /// The reason.
    pub code: Code,
    /// One or two sentences: what exactly, and what to do.
    pub detail: String,
}

impl OperatorApiError {
    /// A refusal. Its text may quote what strangers wrote, and is made fit to be shown.
    pub(crate) fn new(code: Code, detail: impl AsRef<str>) -> Self {
        Self { code, detail: plain(detail.as_ref(), LONGEST_CAUSE) }
    }

    /// What was asked for can never be, whatever is registered.
    pub(super) fn invalid(detail: impl AsRef<str>) -> Self {
        Self::new(Code::BodyInvalid, detail)
    }

    /// The engine did not take or answer something.
    pub(super) fn workflow(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(error, "the operator API could not use the workflow engine");
        Self::new(Code::WorkflowUnavailable, "Send the same request again in a moment.")
    }

    /// Something is wrong with the orchestrator itself.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "the operator API failed");
        Self::new(Code::Internal, "The orchestrator's log says why.")
    }
}

impl From<RegisterError> for OperatorApiError {
    fn from(error: RegisterError) -> Self {
        if let RegisterError::VersionMoved { found, .. } = error {
            let detail = format!("Version {found} is stored. Read it, and decide again.");
            return Self::new(Code::VersionMoved, detail);
        }
        let error = StepError::from(error);
        tracing::warn!(error = error.chain(), "the operator API could not use the register");
        if error.name.is_transient() {
            Self::new(Code::RegisterUnavailable, "Send the same request again in a moment.")
        } else {
            Self::new(Code::Internal, "The orchestrator's log says why.")
        }
    }
}

impl From<PlanError> for OperatorApiError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Register(error) => error.into(),
            PlanError::Unplannable(error) => Self::new(code_of(&error), error.to_string()),
        }
    }
}

fn code_of(error: &RecoveryUnplannable) -> Code {
    match error {
        RecoveryUnplannable::UnknownService(_) => Code::ServiceUnknown,
        RecoveryUnplannable::Circle(_) => Code::DependencyCircle,
        RecoveryUnplannable::NothingProven(_) => Code::NoProvenImage,
        RecoveryUnplannable::TargetImage(refusal) => match refusal {
            TargetImageRefusal::NotOneService { .. } | TargetImageRefusal::AndAnInstant => {
                Code::TargetImageAmbiguous
            }
            TargetImageRefusal::NotRegistered(_) => Code::TargetImageUnknown,
            TargetImageRefusal::OfAnother { .. } => Code::TargetImageForeign,
            TargetImageRefusal::NotProven { .. } => Code::TargetImageUnproven,
            TargetImageRefusal::NoSharedMoment { .. } => Code::TargetImageAlone,
        },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose fixtures do not parse has failed")]
    use rekindle_domain::ImageId;

    use super::*;

    /// The register takes no image that is not proven, so that no request can meet one: only its code is tried.
    #[test]
    fn an_image_that_is_not_proven_has_a_code_of_its_own() {
        let refusal = TargetImageRefusal::NotProven {
            image_id: ImageId::parse("ami-1").unwrap(),
            sentence: "a check did not hold".to_owned(),
        };
        let error = OperatorApiError::from(PlanError::Unplannable(refusal.into()));
        assert_eq!(error.code, Code::TargetImageUnproven);
        assert!(error.detail.contains("a check did not hold"), "{error}");
    }
}
