//! What S3 refuses, and what it only puts off.

use std::error::Error as _;

use rekindle_store::{ObjectStore as _, StoreError};

use crate::answers::{bare, body, error, key, ok, store};

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_asked_again_and_in_the_end_unavailable() {
    for (status, code) in [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")] {
        let busy = || error(status, code);
        let (patient, _) = store([busy(), busy(), ok("").of_length(3)]);
        assert_eq!(patient.head(&key("a")).await.unwrap().size_bytes, 3, "{code}");

        let (store, recorded) = store((0..9).map(|_| busy()));
        let failed = store.get(&key("a"), 1).await.unwrap_err();
        assert!(matches!(failed, StoreError::Unavailable { .. }), "{failed:?}");
        let reason = failed.source().unwrap().to_string();
        assert!(reason.contains(code) && reason.contains("4442587FB7D0A2F9"), "{reason}");
        assert_eq!(recorded.lines().len(), 3, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_is_named() {
    let denied = || error(403, "AccessDenied");
    let (store, _) = store([denied(), denied(), bare(403), denied(), denied()]);
    let key = key("a/b");
    let refusals = [
        (store.get(&key, 1).await.unwrap_err(), "s3:GetObject"),
        (store.put(&key, body("x")).await.unwrap_err(), "kms:GenerateDataKey"),
        (store.head(&key).await.unwrap_err(), "s3:ListBucket"),
        (store.delete(&key).await.unwrap_err(), "s3:DeleteObject"),
    ];
    for (refusal, permission) in refusals {
        assert!(matches!(refusal, StoreError::Refused { .. }), "{refusal:?}");
        assert!(refusal.to_string().contains(permission), "{refusal}");
    }
    // A list has no key that could be refused.
    let refusal = store.list("a/").await.unwrap_err();
    assert!(matches!(refusal, StoreError::Unavailable { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("s3:ListBucket"), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn an_absent_object_and_an_absent_bucket_are_not_the_same() {
    let (store, _) =
        store([error(404, "NoSuchKey"), bare(404), error(404, "NoSuchBucket"), error(404, "NoSuchBucket")]);
    let key = key("a/b");
    assert!(matches!(store.get(&key, 1).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(store.head(&key).await, Err(StoreError::NotFound { .. })));
    for failed in [store.get(&key, 1).await.unwrap_err(), store.delete(&key).await.unwrap_err()] {
        assert!(failed.to_string().contains("no such bucket"), "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn mistakes_of_the_installation_are_said_in_words() {
    for (status, code, words) in [
        (301, "PermanentRedirect", "another region"),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "SignatureDoesNotMatch", "credentials are wrong"),
        (400, "ExpiredToken", "not valid any more"),
    ] {
        let (store, _) = store((0..3).map(|_| error(status, code)));
        let failed = store.get(&key("a"), 1).await.unwrap_err();
        assert!(matches!(failed, StoreError::Unavailable { .. }), "{failed:?}");
        assert!(failed.to_string().contains(words), "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_archived_object_is_refused() {
    let (store, _) = store([error(403, "InvalidObjectState")]);
    let failed = store.get(&key("a"), 1).await.unwrap_err();
    assert!(failed.to_string().contains("archived"), "{failed}");
    assert!(matches!(failed, StoreError::Refused { .. }), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn no_secret_shows() {
    let (store, _) = store([]);
    assert_eq!(format!("{store:?}"), "S3Store { bucket: \"bucket\", .. }");
}
