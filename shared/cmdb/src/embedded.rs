//! The register inside this process: DynamoDB's own client, connected to an embedded implementation.
//!
//! The client's requests never leave the process. The connector takes the signed request, reads its target and body,
//! calls the embedded implementation (dynoxide, on SQLite) and answers as DynamoDB would. So there is no open port, and
//! the code of the register is the same as on AWS.
//!
//! A call is made on the thread that asks and takes well below a millisecond in memory, and one flush of SQLite's
//! write-ahead log on a file. It has finished when the request's future is made: nothing waits in between, so that
//! tests with paused time see no time pass.

#[cfg(feature = "faults")]
mod faults;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use aws_sdk_dynamodb::config::{
    BehaviorVersion, Config, Credentials, IdentityCache, Region, StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::RegisterError;
use crate::register::Register;

/// The table's name in the embedded register.
const TABLE: &str = "rekindle";
const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// Opens registers that live inside this process.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedRegister;

impl EmbeddedRegister {
    /// The register in this file, which is made where it is not there. Beside it lies a lock: one process at a time.
    ///
    /// # Errors
    /// When the file cannot be opened, or another process has it open.
    pub async fn open(path: impl AsRef<Path>) -> Result<Register, RegisterError> {
        let path = path.as_ref();
        let lock = lock(path)?;
        let text = path.to_str().ok_or_else(|| unusable(path, "its path is not UTF-8".into()))?;
        let database = Database::new(text).map_err(|error| unusable(path, Box::new(error)))?;
        register(database, Some(lock)).await
    }

    /// A register that is gone with its last clone.
    ///
    /// # Errors
    /// When SQLite cannot be started.
    pub async fn in_memory() -> Result<Register, RegisterError> {
        let database =
            Database::memory().map_err(|error| unusable(Path::new("in memory"), Box::new(error)))?;
        register(database, None).await
    }
}

async fn register(database: Database, lock: Option<File>) -> Result<Register, RegisterError> {
    let connector = SharedHttpConnector::new(Connector { database, lock: lock.map(Arc::new) });
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .endpoint_url("http://register.invalid")
        .credentials_provider(Credentials::new("embedded", "embedded", None, None, "embedded"))
        .identity_cache(IdentityCache::no_cache())
        // The embedded register is never busy: what fails once fails again.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(Embedded(connector))
        .build();
    let register = Register::new(aws_sdk_dynamodb::Client::from_conf(config), TABLE);
    register.ensure_table().await?;
    Ok(register)
}

/// Two processes on one file would each believe that their conditions hold.
fn lock(path: &Path) -> Result<File, RegisterError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = File::create(lock_path).map_err(|error| unusable(path, Box::new(error)))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(unusable(path, "another process has it open: stop that one".into()))
        }
        Err(TryLockError::Error(error)) => Err(unusable(path, Box::new(error))),
    }
}

fn unusable(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> RegisterError {
    RegisterError::File { path: path.display().to_string(), source }
}

#[derive(Debug)]
struct Embedded(SharedHttpConnector);

impl HttpClient for Embedded {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.0.clone()
    }
}

struct Connector {
    database: Database,
    /// Held for as long as the database is open.
    #[expect(dead_code, reason = "closing the file releases the lock")]
    lock: Option<Arc<File>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Connector(embedded register)")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(answer(&self.database, &request))
    }
}

fn answer(database: &Database, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let target = request.headers().get("x-amz-target").unwrap_or_default();
    let operation = target.strip_prefix(TARGET_PREFIX).unwrap_or_default();
    let body = request
        .body()
        .bytes()
        .ok_or_else(|| ConnectorError::user("the request's body is a stream".into()))?;
    let (status, content) = match dispatch(database, operation, body) {
        Ok(content) => (200, content),
        Err(error) => (error.status_code(), error.to_json()),
    };
    let status = StatusCode::try_from(status).map_err(|error| ConnectorError::other(error.into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(content));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    Ok(response)
}

fn dispatch(database: &Database, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
    match operation {
        "CreateTable" => call(body, |request| database.create_table(request)),
        "DeleteItem" => call(body, |request| database.delete_item(request)),
        "DescribeTable" => call(body, |request| database.describe_table(request)),
        "GetItem" => call(body, |request| database.get_item(request)),
        "PutItem" => call(body, |request| database.put_item(request)),
        "Scan" => call(body, |request| database.scan(request)),
        "Query" => call(body, |request| database.query(request)),
        "TransactWriteItems" => call(body, |request| database.transact_write_items(request)),
        "UpdateItem" => call(body, |request| database.update_item(request)),
        _ => Err(DynoxideError::ValidationException(format!(
            "the embedded register does not offer the operation {operation:?}"
        ))),
    }
}

fn call<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    let request = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    let answer = operation(request)?;
    serde_json::to_string(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// The implementation reads requests strictly, and marks what it refuses in the error's text.
fn refused(error: &serde_json::Error) -> DynoxideError {
    let text = error.to_string();
    DynoxideError::ValidationException(text.strip_prefix("VALIDATION:").unwrap_or(&text).to_owned())
}
