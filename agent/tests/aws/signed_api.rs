//! The client of the agent API that signs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use rekindle_agent::api_client::{ApiClient, HeartbeatReport, LONGEST_WAIT, Reception};
use rekindle_agent::aws::SignedApi;
use rekindle_domain::JobWork;
use rekindle_domain::job::{Hello, JobOutcome, JobResult};
use rekindle_step::ErrorName;

use crate::recorded::{Log, answering, raw};
use crate::verification::{ACCESS_KEY, REGION, SECRET_KEY, SESSION_TOKEN, verify};
use crate::world::job;

fn provider() -> SharedCredentialsProvider {
    let token = Some(SESSION_TOKEN.to_owned());
    SharedCredentialsProvider::new(Credentials::new(ACCESS_KEY, SECRET_KEY, token, None, "test"))
}

fn client(port: u16) -> ApiClient {
    client_with(&format!("http://a1b2.execute-api.localhost:{port}"), provider())
}

fn client_with(address: &str, provider: SharedCredentialsProvider) -> ApiClient {
    ApiClient::signed(SignedApi::new(address, REGION, provider).unwrap())
}

fn hello() -> Hello {
    Hello {
        hostname: "orders".to_owned(),
        ip_address: "10.0.0.7".to_owned(),
        agent_version: "0.1.0".to_owned(),
        applied: None,
        revision: None,
        ssh_key_names: vec!["acme".to_owned()],
    }
}

fn beat() -> HeartbeatReport {
    HeartbeatReport { progress: None }
}

fn sealed() -> JobOutcome {
    JobOutcome::Succeeded { result: JobResult::Sealed }
}

#[tokio::test]
async fn every_request_is_signed_over_what_arrives() {
    let asked: Log<String> = Log::default();
    let heard = asked.clone();
    let wanted = job(JobWork::Seal);
    let answer = wanted.clone();
    let port = answering(move |parts, body| {
        verify(parts, body);
        assert_eq!(parts.headers["x-amz-security-token"], SESSION_TOKEN);
        assert_eq!(parts.headers["content-type"], "application/json");
        heard.lock().unwrap().push(format!("{} {}", parts.method, parts.uri));
        match parts.uri.path() {
            "/live/v1/job" => axum::Json(answer.clone()).into_response(),
            "/live/v1/jobs/gone/outcome" => StatusCode::GONE.into_response(),
            _ => StatusCode::NO_CONTENT.into_response(),
        }
    })
    .await;
    let api = client_with(&format!("http://a1b2.execute-api.localhost:{port}/live/"), provider());
    api.hello(&hello()).await.unwrap();
    assert_eq!(api.next_job(LONGEST_WAIT).await.unwrap(), Some(wanted));
    assert_eq!(api.heartbeat("seal", &beat()).await.unwrap(), Reception::Accepted);
    assert_eq!(api.outcome("seal", &sealed()).await.unwrap(), Reception::Accepted);
    assert_eq!(api.outcome("gone", &sealed()).await.unwrap(), Reception::Abandoned);
    let asked = asked.lock().unwrap();
    assert_eq!(asked[..2], ["POST /live/v1/hello", "GET /live/v1/job?wait_seconds=20"]);
    assert_eq!(asked[2..4], ["POST /live/v1/jobs/seal/heartbeat", "POST /live/v1/jobs/seal/outcome"]);
}

#[tokio::test]
async fn a_long_poll_is_waited_for_and_may_end_with_nothing() {
    let router = axum::Router::new().fallback(async || {
        tokio::time::sleep(Duration::from_secs(4)).await;
        StatusCode::NO_CONTENT
    });
    let port = crate::recorded::serve(router).await;
    assert_eq!(client(port).next_job(LONGEST_WAIT).await.unwrap(), None);
}

/// Gives other credentials each time, as an instance whose session was renewed does.
#[derive(Debug, Default)]
struct Renewing(AtomicUsize);

impl ProvideCredentials for Renewing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        if count == 2 {
            let lost = CredentialsError::provider_error("the metadata service is away");
            return future::ProvideCredentials::ready(Err(lost));
        }
        let token = Some(format!("token-{count}"));
        future::ProvideCredentials::ready(Ok(Credentials::new(ACCESS_KEY, SECRET_KEY, token, None, "test")))
    }
}

#[tokio::test]
async fn credentials_are_asked_for_with_each_request() {
    let tokens: Log<String> = Log::default();
    let heard = tokens.clone();
    let port = answering(move |parts, body| {
        verify(parts, body);
        heard.lock().unwrap().push(parts.headers["x-amz-security-token"].to_str().unwrap().to_owned());
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    let renewing = SharedCredentialsProvider::new(Renewing::default());
    let api = client_with(&format!("http://127.0.0.1:{port}"), renewing);
    api.hello(&hello()).await.unwrap();
    api.hello(&hello()).await.unwrap();
    let lost = api.hello(&hello()).await.unwrap_err();
    assert_eq!(lost.name, ErrorName::Transient);
    assert!(lost.chain().contains("there are no AWS credentials to sign with"), "{}", lost.chain());
    assert!(lost.chain().contains("the metadata service is away"), "{}", lost.chain());
    api.hello(&hello()).await.unwrap();
    assert_eq!(*tokens.lock().unwrap(), ["token-0", "token-1", "token-3"]);
}

#[tokio::test]
async fn a_refused_request_says_why_and_never_what_the_answer_holds() {
    for (date, body, part) in [
        (None, r#"{"message":"Forbidden"}"#, "the instance role is not allowed"),
        (None, r#"{"code":"unbound-instance"}"#, "does not know this instance"),
        (None, r#"{"code":"caller-unknown"}"#, "not a session of the instance role"),
        (Some("Sun, 22 Nov 2020 12:00:00 GMT"), "Signature expired", "clock"),
        (None, "x-amz-security-token:what-was-signed", "the instance role is not allowed"),
    ] {
        let port = answering(move |_, _| {
            let mut answer = (StatusCode::FORBIDDEN, body).into_response();
            if let Some(date) = date {
                answer.headers_mut().insert("date", date.parse().unwrap());
            }
            answer
        })
        .await;
        let error = client(port).hello(&hello()).await.unwrap_err();
        assert_eq!(error.name, ErrorName::Transient);
        assert!(error.chain().contains(part), "{}", error.chain());
        assert!(!error.chain().contains("what-was-signed"), "{}", error.chain());
    }
}

#[tokio::test]
async fn half_an_answer_and_too_much_of_one_are_errors() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id\":".to_vec();
    let mut huge = b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n".to_vec();
    huge.resize(3_000_000, b' ');
    let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n".to_vec();
    let nonsense = b"220 mail ready\r\n".to_vec();
    for answer in [half, huge, endless, nonsense] {
        let error = client(raw(answer).await).next_job(LONGEST_WAIT).await.unwrap_err();
        assert_eq!(error.name, ErrorName::Transient, "{}", error.chain());
    }
    // Nobody listens at all.
    let error = client(1).next_job(LONGEST_WAIT).await.unwrap_err();
    assert!(error.chain().contains("speaking to the agent API"), "{}", error.chain());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_an_unavailable_api_is_asked_again_later() {
    let followed = Arc::new(AtomicUsize::new(0));
    let count = followed.clone();
    let port = answering(move |parts, _| {
        if parts.uri.path() == "/elsewhere" {
            count.fetch_add(1, Ordering::Relaxed);
        }
        (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response()
    })
    .await;
    let error = client(port).hello(&hello()).await.unwrap_err();
    assert!(error.chain().contains("answered 307"), "{}", error.chain());
    assert_eq!(followed.load(Ordering::Relaxed), 0);
    let port = answering(|_, _| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let error = client(port).outcome("seal", &sealed()).await.unwrap_err();
    assert_eq!(error.name, ErrorName::Transient);
}

#[test]
fn an_address_without_encryption_is_refused_and_a_client_shows_no_secret() {
    let refused = SignedApi::new("http://agents.example.com", REGION, provider()).unwrap_err();
    assert!(refused.chain().contains("use https"), "{}", refused.chain());
    let api = SignedApi::new("https://agents.example.com", REGION, provider()).unwrap();
    let shown = format!("{:?}", ApiClient::signed(api));
    assert!(!shown.contains(SECRET_KEY) && !shown.contains(SESSION_TOKEN), "{shown}");
}
