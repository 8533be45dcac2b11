//! The agent API over HTTP.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/hello` | `Hello` | 204 |
//! | `GET /v1/job?wait_seconds=0..20` | | 200 with a `Job`, or 204 |
//! | `POST /v1/jobs/{step}/heartbeat` | `{"progress": …}`, `{}` or nothing | 204, or 410 |
//! | `POST /v1/jobs/{step}/outcome` | `JobOutcome` | 204, or 410 |
//!
//! Errors are `application/problem+json` with a `code` that does not change: `caller-unknown` and `unbound-instance`
//! (403), `job-gone` (410), `body-unreadable` and `query-invalid` (400), `body-too-large` (413), `not-found` (404),
//! `method-not-allowed` (405), `register-unavailable` (503, ask again), `workflow-unavailable` (503, the outcome is stored
//! and the step that waits for it is not told: report it again) and `internal` (500).

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rekindle_cmdb::Progress;
use rekindle_domain::InstanceId;
use rekindle_domain::job::{Hello, JobOutcome};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::agent::{AgentApi, LONGEST_WAIT};
use crate::plain_text::{LONGEST_NAME, plain};
use crate::problem::Problem;
use crate::route::{Route, route, router};

/// The longest body that is read. A result travels on as a step's output, which may have 256 KiB.
pub const LONGEST_BODY_BYTES: usize = 128 * 1024;

/// Which instance asks. The transport sets it as an extension of the request; nothing else can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerInstance(pub InstanceId);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobQuery {
    #[serde(default)]
    wait_seconds: u64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Heartbeat {
    progress: Option<Progress>,
}

/// Every address that is answered.
pub const AGENT_ROUTES: &[Route<AgentApi>] = &[
    route("POST", "/v1/hello", || post(hello)),
    route("GET", "/v1/job", || get(next_job)),
    route("POST", "/v1/jobs/{step}/heartbeat", || post(heartbeat)),
    route("POST", "/v1/jobs/{step}/outcome", || post(outcome)),
];

/// The router of the agent API. The transport adds [`CallerInstance`].
pub fn agent_router(state: AgentApi) -> Router {
    router(AGENT_ROUTES)
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(LONGEST_BODY_BYTES))
        .with_state(state)
}

impl<S: Sync> FromRequestParts<S> for CallerInstance {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::unknown_caller().into_response())
    }
}

async fn hello(
    State(api): State<AgentApi>,
    CallerInstance(caller): CallerInstance,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let hello: Hello = read(&bounded(body)?)?;
    api.hello(&caller, &hello).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn next_job(
    State(api): State<AgentApi>,
    CallerInstance(caller): CallerInstance,
    query: Result<Query<JobQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) =
        query.map_err(|error| Problem::query_invalid(plain(&error.body_text(), LONGEST_NAME)))?;
    let wait = Duration::from_secs(query.wait_seconds);
    if wait > LONGEST_WAIT {
        let longest = LONGEST_WAIT.as_secs();
        return Err(Problem::query_invalid(format!("wait_seconds is at most {longest}.")));
    }
    Ok(match api.next_job(&caller, wait).await? {
        Some(job) => Json(job).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn heartbeat(
    State(api): State<AgentApi>,
    CallerInstance(caller): CallerInstance,
    Path(step): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let body = bounded(body)?;
    let heartbeat: Heartbeat = if body.is_empty() { Heartbeat::default() } else { read(&body)? };
    api.heartbeat(&caller, &step, heartbeat.progress).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn outcome(
    State(api): State<AgentApi>,
    CallerInstance(caller): CallerInstance,
    Path(step): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let outcome: JobOutcome = read(&bounded(body)?)?;
    api.outcome(&caller, &step, outcome).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn bounded(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::body_too_large(LONGEST_BODY_BYTES),
        _ => Problem::body_unreadable("The body did not arrive."),
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::body_unreadable(plain(&error.to_string(), LONGEST_NAME)))
}
