//! The agent API: instances pull, nobody pushes into them. It is behind a socket that is mounted into the instance, or on
//! AWS behind HTTPS and signatures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rekindle_domain::job::{Hello, Job, JobOutcome};
use rekindle_step::StepError;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::error::failed;
use crate::jobs::Progress;

/// The longest that the API may be asked to wait for a job.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);
const LONGEST_ANSWER_BYTES: usize = 1024 * 1024;

/// Speaks to the agent API.
#[derive(Debug, Clone)]
pub struct ApiClient {
    transport: Transport,
}

#[derive(Debug, Clone)]
enum Transport {
    Socket(PathBuf),
    #[cfg(feature = "aws")]
    Signed(crate::aws::SignedApi),
}

/// Whether the orchestrator still wants what the agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// It was taken.
    Accepted,
    /// The job is not wanted any more.
    Abandoned,
}

/// That the agent is alive, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatReport {
    /// How far it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressReport>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressReport {
    /// What is done.
    pub done: u64,
    /// What there is to do.
    pub total: u64,
    /// What is counted.
    pub unit: String,
}

impl HeartbeatReport {
    /// What the progress says at this moment.
    pub fn of(progress: &Progress) -> Self {
        let report = progress.total().map(|total| ProgressReport {
            done: progress.done().min(total),
            total,
            unit: "bytes".to_owned(),
        });
        Self { progress: report }
    }
}

impl ApiClient {
    /// A client for the API behind this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { transport: Transport::Socket(socket.into()) }
    }

    /// A client for the API on AWS.
    #[cfg(feature = "aws")]
    pub fn signed(api: crate::aws::SignedApi) -> Self {
        Self { transport: Transport::Signed(api) }
    }

    /// Says that the instance is up.
    ///
    /// # Errors
    /// When the API cannot be reached or does not accept it.
    pub async fn hello(&self, hello: &Hello) -> Result<(), StepError> {
        let (status, _) = self.send(Method::POST, "/v1/hello", Some(json(hello)?)).await?;
        if status == StatusCode::NO_CONTENT { Ok(()) } else { Err(unexpected(status, "the greeting")) }
    }

    /// The next job, if one comes up within this time.
    ///
    /// # Errors
    /// When the API cannot be reached or answers something else.
    pub async fn next_job(&self, wait: Duration) -> Result<Option<Job>, StepError> {
        let path = format!("/v1/job?wait_seconds={}", wait.as_secs());
        let (status, body) = self.send(Method::GET, &path, None).await?;
        match status {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| failed("the job cannot be read").because(error)),
            status => Err(unexpected(status, "the question for a job")),
        }
    }

    /// Says that a job is being worked on.
    ///
    /// # Errors
    /// When the API cannot be reached or answers something else.
    pub async fn heartbeat(&self, step: &str, report: &HeartbeatReport) -> Result<Reception, StepError> {
        let path = format!("/v1/jobs/{step}/heartbeat");
        self.report(&path, json(report)?).await
    }

    /// Says how a job ended.
    ///
    /// # Errors
    /// When the API cannot be reached or answers something else.
    pub async fn outcome(&self, step: &str, outcome: &JobOutcome) -> Result<Reception, StepError> {
        let path = format!("/v1/jobs/{step}/outcome");
        self.report(&path, json(outcome)?).await
    }

    async fn report(&self, path: &str, body: Vec<u8>) -> Result<Reception, StepError> {
        match self.send(Method::POST, path, Some(body)).await?.0 {
            StatusCode::NO_CONTENT => Ok(Reception::Accepted),
            StatusCode::GONE => Ok(Reception::Abandoned),
            status => Err(unexpected(status, "the report")),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Bytes), StepError> {
        let limit = LONGEST_WAIT * 2;
        match tokio::time::timeout(limit, self.exchange(method, path, body.unwrap_or_default())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let what = format!("speaking to the agent API: {error}");
                Err(StepError::transient(what))
            }
            Err(_) => Err(StepError::transient("the agent API did not answer in time")),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        match &self.transport {
            Transport::Socket(socket) => over_socket(socket, method, path, body).await,
            #[cfg(feature = "aws")]
            Transport::Signed(api) => api.exchange(method, path, body, LONGEST_ANSWER_BYTES).await,
        }
    }
}

async fn over_socket(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = AbortOnDrop(tokio::spawn(connection));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "agent-api")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER_BYTES).collect().await?.to_bytes();
    drop(driving);
    Ok((status, body))
}

struct AbortOnDrop(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, StepError> {
    serde_json::to_vec(value).map_err(|error| failed("writing a report failed").because(error))
}

fn unexpected(status: StatusCode, to: &str) -> StepError {
    StepError::transient(format!("the agent API answered {} to {to}", status.as_u16()))
}
