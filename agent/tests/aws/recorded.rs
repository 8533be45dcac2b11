//! Servers on loopback that answer as it was written down.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What arrived, and what is answered to it.
pub type Answers = Arc<dyn Fn(&Parts, &Bytes) -> Response + Send + Sync>;

pub async fn serve(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

/// Answers every request by a function of it.
pub async fn answering(answers: impl Fn(&Parts, &Bytes) -> Response + Send + Sync + 'static) -> u16 {
    let answers: Answers = Arc::new(answers);
    serve(Router::new().fallback(move |request: Request<Body>| {
        let answers = answers.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            answers(&parts, &body)
        }
    }))
    .await
}

/// Answers every connection with these bytes and closes it.
pub async fn raw(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0_u8; 8192];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    port
}

/// The instance that the metadata speak of.
pub const INSTANCE: &str = "i-0123456789abcdef0";

/// The instance metadata service, version 2, of an instance that was launched with this key pair.
pub async fn metadata(key_name: &'static str) -> u16 {
    const TOKEN: &str = "a-metadata-token";
    answering(move |parts, _| {
        let given = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        if parts.method == "PUT" && parts.uri.path() == "/latest/api/token" {
            let seconds = given("x-aws-ec2-metadata-token-ttl-seconds").unwrap();
            return ([("x-aws-ec2-metadata-token-ttl-seconds", seconds)], TOKEN).into_response();
        }
        if given("x-aws-ec2-metadata-token").as_deref() != Some(TOKEN) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        match parts.uri.path() {
            "/latest/meta-data/instance-id" => INSTANCE.into_response(),
            "/latest/meta-data/public-keys/" => format!("0={key_name}").into_response(),
            "/latest/meta-data/public-keys/0/openssh-key" => {
                format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 {key_name}\n").into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    })
    .await
}

/// What was asked, in order.
pub type Log<T> = Arc<Mutex<Vec<T>>>;
