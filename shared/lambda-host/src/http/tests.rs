#![expect(clippy::unwrap_used, reason = "test code")]
use axum::Extension;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use lambda_http::request::from_str;
use serde_json::{Value, json};

use super::*;
use crate::environment::Environment;

const AGENT: &str = "arn:aws:sts::111122223333:assumed-role/rekindle-instance/i-0123456789abcdef0";

/// As a router of ours would name its callers.
#[derive(Clone)]
struct Caller(String);

async fn me(caller: Option<Extension<Caller>>) -> Result<String, StatusCode> {
    caller.map(|Extension(Caller(name))| name).ok_or(StatusCode::FORBIDDEN)
}

fn requests(callers: Callers) -> Requests {
    let environment = Environment::of(|_| Some("111122223333/rekindle-instance".into()));
    let router = Router::new()
        .route("/v1/me", get(me))
        .route("/v1/echo", post(async |body: String| body))
        .route("/v1/break", get(async || -> String { std::iter::empty::<String>().next().unwrap() }));
    Requests::new("agent-api", callers.read(&environment).unwrap(), router)
}

fn instances() -> Callers {
    Callers::instances(|instance| Caller(instance.to_string()))
}

/// Payload format 2.0, as AWS documents it.
fn event(method: &str, path: &str, authorizer: Value) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "host": "id.execute-api.eu-west-1.amazonaws.com",
            "content-type": "application/json",
            "x-amzn-caller": AGENT
        },
        "requestContext": {
            "accountId": "111122223333",
            "apiId": "id",
            "authorizer": authorizer,
            "domainName": "id.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "id",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                "userAgent": "rekindle-agent"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "ANY /{proxy+}",
            "stage": "$default",
            "time": "12/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1_763_000_000_000_u64
        },
        "isBase64Encoded": false
    })
}

fn iam(user_arn: &str) -> Value {
    json!({ "iam": {
        "accessKey": "ASIAEXAMPLE", "accountId": "111122223333", "callerId": "AROAEXAMPLE:i-0123456789abcdef0",
        "cognitoIdentity": null, "principalOrgId": "aws:PrincipalOrgID", "userArn": user_arn,
        "userId": "AROAEXAMPLE:i-0123456789abcdef0"
    }})
}

fn jwt(subject: &str) -> Value {
    json!({ "jwt": { "claims": { "sub": subject, "iss": "https://issuer.example" }, "scopes": null } })
}

async fn ask_as(callers: Callers, event: &Value) -> (StatusCode, String) {
    let request = from_str(&event.to_string()).unwrap();
    let response = requests(callers).answer(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask(event: &Value) -> (StatusCode, String) {
    ask_as(instances(), event).await
}

#[tokio::test]
async fn an_instance_is_known_by_its_session() {
    let (status, body) = ask(&event("GET", "/v1/me", iam(AGENT))).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "i-0123456789abcdef0"));
}

#[tokio::test]
async fn nobody_else_is_an_instance() {
    let strangers = [
        iam("arn:aws:sts::111122223333:assumed-role/rekindle-instance/somebody"),
        iam("arn:aws:iam::111122223333:user/i-0123456789abcdef0"),
        jwt(AGENT),
        json!({}),
    ];
    for authorizer in strangers {
        let (status, _) = ask(&event("GET", "/v1/me", authorizer)).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    let mut unsigned = event("GET", "/v1/me", json!(null));
    unsigned["requestContext"].as_object_mut().unwrap().remove("authorizer");
    assert_eq!(ask(&unsigned).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn operators_are_known_by_their_arn_or_their_subject() {
    let operators = || Callers::operators(Caller);
    let person = "arn:aws:iam::111122223333:user/ada";
    for (authorizer, name) in [(iam(person), person), (jwt("ada@example.org"), "ada@example.org")] {
        let answer = ask_as(operators(), &event("GET", "/v1/me", authorizer)).await;
        assert_eq!(answer, (StatusCode::OK, name.to_owned()));
    }
    for nobody in [iam(""), jwt(""), json!({}), json!({ "lambda": { "sub": "ada" } })] {
        assert_eq!(ask_as(operators(), &event("GET", "/v1/me", nobody)).await.0, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn bodies_come_as_text_and_as_base64() {
    let mut text = event("POST", "/v1/echo", iam(AGENT));
    text["body"] = json!("{\"a\": 1}");
    assert_eq!(ask(&text).await, (StatusCode::OK, "{\"a\": 1}".to_owned()));
    text["body"] = json!("eyJhIjogMX0=");
    text["isBase64Encoded"] = json!(true);
    assert_eq!(ask(&text).await, (StatusCode::OK, "{\"a\": 1}".to_owned()));
}

#[tokio::test]
async fn a_panic_ends_only_its_request() {
    let (status, body) = ask(&event("GET", "/v1/break", iam(AGENT))).await;
    assert_eq!((status, body.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, ""));
}
