//! Routers behind an HTTP API of API Gateway.

mod callers;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::StatusCode;
use lambda_http::RequestExt;
use tower::ServiceExt;
use tracing::{Instrument, Span};

pub use callers::Callers;
pub(crate) use callers::Known;

/// Answers the requests to one router.
#[derive(Clone)]
pub(crate) struct Requests {
    function: &'static str,
    known: Known,
    router: Router,
}

impl Requests {
    pub(crate) fn new(function: &'static str, known: Known, router: Router) -> Self {
        Self { function, known, router }
    }

    /// Says who calls, and has the router answer. A panic ends only this request.
    pub(crate) async fn answer(self, request: lambda_http::Request) -> Result<Response, Infallible> {
        let span = span(self.function, &request);
        self.routed(request).instrument(span).await
    }

    async fn routed(self, request: lambda_http::Request) -> Result<Response, Infallible> {
        let started = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut request = request.map(Body::new);
        self.known.tell(request.extensions_mut());
        let answered = AssertUnwindSafe(self.router.oneshot(request)).catch_unwind().await;
        let response = answered.unwrap_or_else(|_panic| Ok(broken_off()))?;
        let status = response.status();
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Agents ask all the time: what goes well is said only to those who look for it.
        match status.as_u16() {
            500.. => tracing::warn!(%method, path, %status, milliseconds, "failed"),
            400.. => tracing::info!(%method, path, %status, milliseconds, "refused"),
            _ => tracing::debug!(%method, path, %status, milliseconds, "answered"),
        }
        Ok(response)
    }
}

fn span(function: &str, request: &lambda_http::Request) -> Span {
    let request_id = request.lambda_context_ref().map(|context| context.request_id.clone());
    tracing::error_span!("request", function, request_id)
}

fn broken_off() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[cfg(test)]
mod tests;
