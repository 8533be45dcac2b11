//! A connection on which somebody has written down what S3 will say.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Builder, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use rekindle_domain::ObjectKey;
use rekindle_store::ObjectBody;
use rekindle_store_s3::S3Store;

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Says that the body has this length.
    pub fn of_length(self, bytes: usize) -> Self {
        self.with("content-length", bytes.to_string())
    }
}

/// A success.
pub fn ok(body: impl Into<Vec<u8>>) -> Answer {
    Answer { status: 200, headers: Vec::new(), body: body.into() }
}

/// A success with a part of an object.
pub fn partial(body: impl Into<Vec<u8>>, range: &str) -> Answer {
    Answer { status: 206, ..ok(body) }.with("content-range", range)
}

/// An error, as S3's REST API words it.
pub fn error(status: u16, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>as S3 words it</Message>\
         <RequestId>4442587FB7D0A2F9</RequestId></Error>"
    );
    Answer { status, ..ok(body) }
        .with("content-type", "application/xml")
        .with("x-amz-request-id", "4442587FB7D0A2F9")
}

/// An error to a HEAD, which has no body.
pub fn bare(status: u16) -> Answer {
    Answer { status, ..ok("") }
}

/// A request as it was sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Gives its answers in order, and keeps what it was asked.
#[derive(Debug, Clone)]
pub struct Recorded(Arc<Mutex<(VecDeque<Answer>, Vec<Request>)>>);

impl Recorded {
    /// The beginnings of the requests, as `PUT /bucket/key`.
    pub fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.0.lock().unwrap().1.clone()
    }

    /// Adds an answer that depends on what was asked before.
    pub fn push(&self, answer: Answer) {
        self.0.lock().unwrap().0.push_back(answer);
    }
}

/// A store whose bucket gives these answers. The test has to run with paused time, for the client waits between tries.
pub fn store(answers: impl IntoIterator<Item = Answer>) -> (S3Store, Recorded) {
    let recorded = Recorded(Arc::new(Mutex::new((answers.into_iter().collect(), Vec::new()))));
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .endpoint_url("http://127.0.0.1")
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::standard())
        .http_client(recorded.clone());
    (S3Store::new(config, "bucket"), recorded)
}

pub fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

pub fn body(bytes: impl Into<Vec<u8>>) -> ObjectBody {
    Box::pin(io::Cursor::new(bytes.into()))
}

impl HttpClient for Recorded {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Recorded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut state = self.0.lock().unwrap();
        let uri = request.uri().strip_prefix("http://127.0.0.1").unwrap_or(request.uri());
        state.1.push(Request {
            line: format!("{} {uri}", request.method()),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: request.body().bytes().unwrap_or_default().to_vec(),
        });
        let answer = state.0.pop_front().unwrap_or_else(|| error(501, "NothingWasRecordedForThis"));
        let status = StatusCode::try_from(answer.status).unwrap();
        let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
        for (name, value) in answer.headers {
            response.headers_mut().insert(name, value);
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}
