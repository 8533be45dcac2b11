//! The identity that KMS opens, against recorded answers of KMS.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_credential_types::Credentials;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::{BehaviorVersion, Region};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use rekindle_agent::aws::KmsIdentity;
use rekindle_agent::keys::DataIdentity;
use rekindle_domain::MachineKey;
use rekindle_step::{ErrorName, StepError};
use serde_json::{Value, json};

use crate::recorded::answering;
use crate::world::write;

fn kms(port: u16) -> Client {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("a", "b", None, None, "test"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

fn identity_at(port: u16, path: &Path) -> KmsIdentity {
    KmsIdentity::new(kms(port), path.to_owned(), &MachineKey::parse("acme/orders/database").unwrap())
}

fn refused(status: StatusCode, name: &str) -> Response {
    (status, Json(json!({"__type": name, "message": "said by KMS"}))).into_response()
}

async fn refusal_of(answer: impl Fn() -> Response + Send + Sync + 'static) -> StepError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.kms");
    write(&path, b"wrapped");
    let port = answering(move |_, _| answer()).await;
    identity_at(port, &path).obtain().await.unwrap_err()
}

#[tokio::test]
async fn kms_is_asked_once_with_the_machine_and_again_after_sealing() {
    let folder = tempfile::tempdir().unwrap();
    let (clear, path) = (folder.path().join("clear"), folder.path().join("identity.kms"));
    let identity = DataIdentity::generate();
    identity.write(&clear).unwrap();
    let text = std::fs::read_to_string(&clear).unwrap();
    std::fs::remove_file(&clear).unwrap();
    write(&path, b"wrapped");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let port = answering(move |parts, body| {
        count.fetch_add(1, Ordering::Relaxed);
        assert_eq!(parts.headers["x-amz-target"], "TrentService.Decrypt");
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["EncryptionContext"], json!({"rekindle:machine": "acme/orders/database"}));
        assert_eq!(body["CiphertextBlob"], aws_smithy_types::base64::encode("wrapped"));
        Json(json!({"Plaintext": aws_smithy_types::base64::encode(&text)})).into_response()
    })
    .await;
    let wrapped = identity_at(port, &path);
    for _ in 0..2 {
        let opened = wrapped.obtain().await.unwrap();
        assert_eq!(opened.recipient().text(), identity.recipient().text());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    wrapped.forget();
    wrapped.obtain().await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2, "the identity was kept after it was to be forgotten");
    assert!(!format!("{wrapped:?}").contains("SECRET"));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [path], "something was written");
}

#[tokio::test]
async fn what_kms_refuses_is_said_in_a_sentence_and_what_may_pass_is_tried_again() {
    for (name, part) in [
        ("AccessDeniedException", "the instance role is not allowed to open the data identity"),
        ("InvalidCiphertextException", "wrapped for another machine than acme/orders/database"),
        ("IncorrectKeyException", "wrapped for another machine"),
        ("DisabledException", "the data key cannot be used"),
        ("KMSInvalidStateException", "the data key cannot be used"),
        ("NotFoundException", "the data key cannot be used"),
    ] {
        let error = refusal_of(move || refused(StatusCode::BAD_REQUEST, name)).await;
        assert_eq!(error.name, ErrorName::DecryptionFailed, "{name}: {}", error.chain());
        assert!(error.chain().contains(part), "{name}: {}", error.chain());
    }
    for (status, name) in [(400, "ThrottlingException"), (500, "KMSInternalException"), (503, "Unavailable")]
    {
        let status = StatusCode::from_u16(status).unwrap();
        let error = refusal_of(move || refused(status, name)).await;
        assert_eq!(error.name, ErrorName::Transient, "{name}: {}", error.chain());
    }
    // What was wrapped is no identity: nothing of it is shown.
    let secret = aws_smithy_types::base64::encode("a text that nobody may see");
    let error = refusal_of(move || Json(json!({"Plaintext": secret})).into_response()).await;
    assert_eq!(error.name, ErrorName::DecryptionFailed);
    assert!(!error.chain().contains("nobody may see"), "{}", error.chain());
}

#[tokio::test]
async fn a_missing_or_overlong_file_is_refused_before_kms_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.kms");
    let missing = identity_at(1, &path).obtain().await.unwrap_err();
    assert_eq!(missing.name, ErrorName::DecryptionFailed);
    assert!(missing.chain().contains("wrap-identity"), "{}", missing.chain());
    write(&path, &[7; 7000]);
    assert_eq!(identity_at(1, &path).obtain().await.unwrap_err().name, ErrorName::AgentFailed);
}
