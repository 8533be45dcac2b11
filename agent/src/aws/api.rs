//! The agent API on AWS: HTTPS behind API Gateway, every request signed with the instance role.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use rekindle_step::StepError;

use super::forbidden;
use super::resolver::Resolver;
use super::settings::parse_agent_api;
use super::signature::sign_request;
use crate::error::failed;

const TIME_TO_CONNECT: Duration = Duration::from_secs(10);
/// Shorter than what load balancers keep, so that a request seldom meets a connection that is being closed.
const IDLE_CONNECTIONS_KEPT: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Speaks to an agent API that asks for signatures.
#[derive(Clone)]
pub struct SignedApi {
    address: Uri,
    region: String,
    credentials: SharedCredentialsProvider,
    // One for all requests: it keeps connections.
    connector: Arc<Connector>,
}

impl fmt::Debug for SignedApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SignedApi")
            .field("address", &self.address)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl SignedApi {
    /// A client of the API at this address, who signs with what the provider gives at the time of each request:
    /// credentials of an instance change every few hours.
    ///
    /// # Errors
    /// When the address is none, or would let somebody listen in.
    pub fn new(
        address: &str,
        region: &str,
        credentials: SharedCredentialsProvider,
    ) -> Result<Self, StepError> {
        let address = parse_agent_api(address)
            .map_err(|reason| failed(format!("the address of the agent API is refused: {reason}")))?;
        let settings = HttpConnectorSettings::builder().connect_timeout(TIME_TO_CONNECT).build();
        let connector = Connector::builder()
            .connector_settings(settings)
            .pool_idle_timeout(IDLE_CONNECTIONS_KEPT)
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build_with_resolver(Resolver);
        Ok(Self { address, region: region.to_owned(), credentials, connector: Arc::new(connector) })
    }

    /// One request and its answer, of which at most `limit_bytes` are read.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        limit_bytes: usize,
    ) -> Result<(StatusCode, Bytes), BoxError> {
        let request = self.signed(method, path, body).await?;
        let response = self.connector.call(request).await.map_err(|error| flat(&error))?;
        let status = StatusCode::from_u16(response.status().as_u16())?;
        let date = response.headers().get("date").map(str::to_owned);
        let body = bounded(response, limit_bytes).await?;
        if status == StatusCode::FORBIDDEN {
            return Err(forbidden::explanation(date.as_deref(), &body, SystemTime::now()).into());
        }
        Ok((status, body))
    }

    async fn signed(&self, method: Method, path: &str, body: Vec<u8>) -> Result<HttpRequest, BoxError> {
        let credentials = self
            .credentials
            .provide_credentials()
            .await
            .map_err(|error| format!("there are no AWS credentials to sign with: {}", flat(&error)))?;
        let base = self.address.to_string();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", base.trim_end_matches('/')))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)?;
        sign_request(&mut request, &self.region, credentials, SystemTime::now())?;
        Ok(HttpRequest::try_from(request.map(SdkBody::from))?)
    }
}

async fn bounded(response: HttpResponse, limit_bytes: usize) -> Result<Bytes, BoxError> {
    Ok(Limited::new(response.into_body(), limit_bytes).collect().await?.to_bytes())
}

/// An error and those underneath in one line: the outermost says no more than that something failed.
pub(super) fn flat(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
