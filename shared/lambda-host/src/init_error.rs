//! Tells Lambda that a function cannot start (AWS, "Using the Lambda runtime API", initialization error).

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::TokioIo;
use rekindle_step::StepError;
use serde_json::json;
use tokio::net::TcpStream;

use crate::environment::{Environment, RUNTIME_API};

/// The name that invokers see until the function can start.
pub(crate) const ENVIRONMENT_INVALID: &str = "Runtime.EnvironmentInvalid";

/// Why the report did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// No connection, or it broke.
    #[error("the Runtime API cannot be reached")]
    Connection(#[from] std::io::Error),
    /// It was not spoken to in HTTP.
    #[error("the Runtime API did not take the report")]
    Http(#[from] hyper::Error),
    /// The address is no host.
    #[error("{RUNTIME_API} is no address")]
    Address(#[from] http::Error),
}

/// Logs why the function cannot start, and tells whoever invokes it.
pub(crate) async fn report(environment: &Environment, error: &StepError) {
    tracing::error!(error = ENVIRONMENT_INVALID, cause = error.chain(), "the function cannot start");
    // Outside of Lambda there is nobody to tell; the log has said it.
    let Some(address) = environment.text(RUNTIME_API) else { return };
    if let Err(error) = post(&address, error).await {
        tracing::warn!(error = %error, "Lambda was not told that the function cannot start");
    }
}

async fn post(address: &str, error: &StepError) -> Result<(), ReportError> {
    let body = json!({ "errorType": ENVIRONMENT_INVALID, "errorMessage": error.chain(), "stackTrace": [] });
    let request = Request::post("/2018-06-01/runtime/init/error")
        .header("Host", address)
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Function-Error-Type", ENVIRONMENT_INVALID)
        .body(Full::new(Bytes::from(body.to_string())))?;
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    sender.send_request(request).await?;
    driven.abort();
    Ok(())
}
