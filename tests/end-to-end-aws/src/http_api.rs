//! Requests to the deployed HTTP APIs, signed as an operator signs them.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::patience::eventually;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body as JSON, or null.
    pub body: Value,
}

impl Answer {
    /// The body of a good answer.
    ///
    /// # Panics
    /// When the answer is not a good one.
    pub fn good(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self.body
    }
}

/// An API and who asks it.
#[derive(Debug, Clone)]
pub struct HttpApi {
    /// For example `http://abc.execute-api.localhost:4566`.
    pub url: String,
    /// Who asks; nobody for unsigned requests.
    pub credentials: Option<Credentials>,
}

impl HttpApi {
    /// Asks and waits for the answer. As the API says to, it asks again where it is told "in a moment".
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        eventually(&format!("an answer to {method} {path}"), || {
            let answer = self.ask_once(method, path, body.clone());
            (answer.status != 503).then_some(answer)
        })
    }

    /// Asks once with these bytes.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask_once(&self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(send(self.request(method, path, body)))
    }

    fn request(&self, method: &str, path: &str, body: Vec<u8>) -> http::Request<Full<Bytes>> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let uri: http::Uri = url.parse().unwrap();
        let mut request = http::Request::builder()
            .method(method)
            .header("host", uri.authority().unwrap().as_str())
            .header("content-type", "application/json")
            .uri(uri)
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap();
        if let Some(credentials) = &self.credentials {
            sign_request(&mut request, &body, credentials);
        }
        request
    }
}

fn sign_request(request: &mut http::Request<Full<Bytes>>, body: &[u8], credentials: &Credentials) {
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("execute-api")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap();
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let (method, uri) = (request.method().as_str(), request.uri().to_string());
    let signable = SignableRequest::new(method, uri, headers, SignableBody::Bytes(body)).unwrap();
    let (instructions, _signature) = sign(signable, &parameters.into()).unwrap().into_parts();
    instructions.apply_to_request_http1x(request);
}

/// Names that end in `.localhost` are this machine (RFC 6761, section 6.3), whatever its resolver says.
async fn send(request: http::Request<Full<Bytes>>) -> Answer {
    let port = request.uri().port_u16().unwrap_or(80);
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts.uri = parts.uri.path_and_query().unwrap().as_str().parse().unwrap();
    let answer = sender.send_request(http::Request::from_parts(parts, body)).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}
