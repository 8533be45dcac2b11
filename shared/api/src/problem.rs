//! Errors as RFC 9457 describes them, with codes that never change.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rekindle_step::StepError;
use serde::Serialize;

use crate::agent::AgentApiError;
use crate::operator::OperatorApiError;

/// What went wrong, for whoever called: an agent or an operator. It holds nothing that the caller may not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into() }
    }

    pub(crate) fn unknown_caller() -> Self {
        let detail = "The transport did not say which instance asks.";
        Self::new(StatusCode::FORBIDDEN, "caller-unknown", "The caller is not known", detail)
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let detail = format!("At most {limit} bytes are read.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", detail)
    }

    pub(crate) fn body_unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "body-unreadable", "The body cannot be read", detail)
    }

    pub(crate) fn query_invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "query-invalid", "The query cannot be read", detail)
    }

    pub(crate) fn not_found() -> Self {
        let detail = "The agent API has no such address.";
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "This address does not answer to this method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed", detail)
    }
}

impl From<AgentApiError> for Problem {
    fn from(error: AgentApiError) -> Self {
        let detail = error.to_string();
        match error {
            AgentApiError::Unbound(_) => {
                Self::new(StatusCode::FORBIDDEN, "unbound-instance", "The instance is nobody here", detail)
            }
            AgentApiError::JobGone { .. } => {
                Self::new(StatusCode::GONE, "job-gone", "The job is not wanted any more", detail)
            }
            AgentApiError::WorkflowUnavailable { source, .. } => {
                tracing::warn!(%source, detail, "a waiting step was not told");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "workflow-unavailable",
                    "The waiting step could not be told",
                    "The outcome is stored. Report it again in a moment.",
                )
            }
            AgentApiError::Register(error) => {
                let error = StepError::from(error);
                tracing::warn!(error = error.chain(), "the agent API could not use the register");
                Self::of_register(error.name.is_transient())
            }
        }
    }
}

impl Problem {
    fn of_register(transient: bool) -> Self {
        if transient {
            let detail = "Ask again in a moment.";
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "register-unavailable",
                "The register did not answer",
                detail,
            );
        }
        let detail = "The orchestrator's log says why.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The orchestrator failed", detail)
    }
}

impl From<OperatorApiError> for Problem {
    fn from(OperatorApiError { code, detail }: OperatorApiError) -> Self {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, code.as_str(), code.title(), detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: format!("urn:rekindle:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
