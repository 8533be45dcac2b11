//! A client of HTTP that answers from a list and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_config::{Region, SdkConfig};
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use rekindle_cloud_aws::{ACTIONS, Ec2Cloud, LaunchSettings};

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It is answered.
    Reply(u16, String),
    /// It may have arrived, but the connection breaks.
    Lost,
    /// Nothing ever comes.
    Silence,
}

/// A request, as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub action: String,
    /// Without `Action` and `Version`.
    pub parameters: BTreeMap<String, String>,
    pub authorization: String,
}

impl Sent {
    pub fn get(&self, name: &str) -> &str {
        self.parameters.get(name).map(String::as_str).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Recorder {
    answers: Arc<Mutex<Vec<(String, Answer)>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Recorder {
    /// Requests of one action are answered in this order; those of different actions may come in any.
    pub fn new<const N: usize>(answers: [(&str, Answer); N]) -> Self {
        let answers = answers.map(|(action, answer)| (action.to_owned(), answer)).to_vec();
        Self { answers: Arc::new(Mutex::new(answers)), sent: Arc::default() }
    }

    pub fn cloud(&self) -> Ec2Cloud {
        Ec2Cloud::new(&self.config(), LaunchSettings::parse("REKINDLE_LAUNCH", SETTINGS).unwrap(), None)
    }

    pub fn config(&self) -> SdkConfig {
        let credentials = Credentials::new("OURKEY", "secret", None, None, "test");
        SdkConfig::builder()
            .region(Region::from_static("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.clone())
            .build()
    }

    /// What was asked; every answer must have been used.
    pub fn sent(&self) -> Vec<Sent> {
        let left: Vec<String> =
            self.answers.lock().unwrap().iter().map(|(action, _)| action.clone()).collect();
        assert!(left.is_empty(), "these were never asked for: {left:?}");
        self.sent.lock().unwrap().clone()
    }

    pub fn actions(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.action).collect()
    }

    fn answer(&self, request: &HttpRequest) -> Answer {
        let sent = read(request);
        let is_ours = ACTIONS.contains(&sent.action.as_str()) || sent.action == "AssumeRole";
        assert!(is_ours, "{} is an action that no policy grants", sent.action);
        let mut answers = self.answers.lock().unwrap();
        let place = answers.iter().position(|(action, _)| *action == sent.action);
        let place = place.unwrap_or_else(|| panic!("nobody expected {sent:?}"));
        self.sent.lock().unwrap().push(sent);
        answers.remove(place).1
    }
}

impl HttpClient for Recorder {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.answer(&request) {
            Answer::Reply(status, body) => {
                let status = StatusCode::try_from(status).unwrap();
                HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
            }
            Answer::Lost => {
                let broken = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset by peer");
                HttpConnectorFuture::ready(Err(ConnectorError::io(broken.into())))
            }
            Answer::Silence => HttpConnectorFuture::new(std::future::pending()),
        }
    }
}

fn read(request: &HttpRequest) -> Sent {
    let body = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
    let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
    let mut parameters: BTreeMap<String, String> =
        pairs.map(|(key, value)| (decode(key), decode(value))).collect();
    let action = parameters.remove("Action").unwrap();
    parameters.remove("Version").unwrap();
    let authorization = request.headers().get("authorization").unwrap_or_default().to_owned();
    Sent { action, parameters, authorization }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            b'+' => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

pub const SETTINGS: &str = r#"{
  "builder_launch_template": {"id": "lt-0b000000000000001", "version": "3"},
  "replica_launch_template": {"id": "lt-0c000000000000001", "version": "7"},
  "isolated": {
    "security_group": "sg-01500000000000001",
    "subnets": {"eu-west-1b": "subnet-0b000000000000002", "eu-west-1a": "subnet-0a000000000000001"}
  },
  "production": {
    "security_group": "sg-0d000000000000001",
    "subnets": {"eu-west-1a": "subnet-0d00000000000000a"}
  },
  "volume_initialization_mebibytes_per_second": 300
}"#;
