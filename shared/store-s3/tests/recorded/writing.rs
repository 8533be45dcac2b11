//! Objects that are sent in one request.

use rekindle_store::{ObjectStore as _, StoreError};

use crate::answers::{Recorded, bare, body, error, key, ok, store};

/// The mark that the first write has left.
pub fn mark(recorded: &Recorded) -> String {
    recorded.requests()[0].header("x-amz-meta-rekindle-writer").unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_put_brings_its_checksum_and_only_a_new_one_a_condition() {
    let (store, recorded) = store([ok(""), ok("")]);
    store.put_new(&key("a/b"), body("hello")).await.unwrap();
    store.put(&key("a/b"), body("hello")).await.unwrap();
    let requests = recorded.requests();
    assert_eq!(
        requests.iter().map(|request| &request.line[..15]).collect::<Vec<_>>(),
        ["PUT /bucket/a/b"; 2]
    );
    for request in &requests {
        let sha256 = request.header("x-amz-checksum-sha256");
        assert_eq!(sha256, Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));
        assert_eq!(request.body, b"hello");
        // The bucket's default decides on encryption.
        assert!(!request.headers.iter().any(|(name, _)| name.contains("server-side-encryption")));
    }
    assert_eq!(requests[0].header("if-none-match"), Some("*"));
    assert_eq!(requests[1].header("if-none-match"), None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_precondition_is_an_object_that_exists() {
    let (store, recorded) =
        store([error(412, "PreconditionFailed"), ok("").with("x-amz-meta-rekindle-writer", "another")]);
    let answer = store.put_new(&key("a/b"), body("x")).await;
    assert!(matches!(answer, Err(StoreError::AlreadyExists { .. })), "{answer:?}");
    assert_eq!(recorded.lines().len(), 2);
}

/// The first try arrived, its answer was lost, and the client sent it again.
#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_recognises_its_own_object() {
    let (store, recorded) = store([error(500, "InternalError"), error(412, "PreconditionFailed")]);
    let key = key("a/b");
    let put = store.put_new(&key, body("hello"));
    let answering = async {
        while recorded.lines().is_empty() {
            tokio::task::yield_now().await;
        }
        recorded.push(ok("").with("x-amz-meta-rekindle-writer", mark(&recorded)));
    };
    let (written, ()) = tokio::join!(put, answering);
    assert_eq!(written.unwrap().size_bytes, 5);
    assert!(recorded.lines()[2].starts_with("HEAD /bucket/a/b"), "{:?}", recorded.lines());
}

#[tokio::test(start_paused = true)]
async fn who_may_only_write_is_told_that_the_object_exists() {
    let (store, _) = store([error(412, "PreconditionFailed"), bare(403)]);
    let answer = store.put_new(&key("a/b"), body("x")).await;
    assert!(matches!(answer, Err(StoreError::AlreadyExists { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_sent_again_and_in_the_end_unavailable() {
    let conflict = || error(409, "ConditionalRequestConflict");
    let (patient, recorded) = store([conflict(), conflict(), ok("")]);
    patient.put_new(&key("a/b"), body("hello")).await.unwrap();
    assert!(recorded.requests().iter().all(|request| request.body == b"hello"));
    assert_eq!(recorded.lines().len(), 3);

    let (store, recorded) = store((0..20).map(|_| conflict()));
    let answer = store.put_new(&key("a/b"), body("hello")).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    assert_eq!(recorded.lines().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_can_end_in_an_object_that_exists() {
    let (store, _) = store([
        error(409, "ConditionalRequestConflict"),
        error(412, "PreconditionFailed"),
        ok("").with("x-amz-meta-rekindle-writer", "another"),
    ]);
    let answer = store.put_new(&key("a/b"), body("x")).await;
    assert!(matches!(answer, Err(StoreError::AlreadyExists { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_were_damaged_on_their_way_are_worth_another_try() {
    let (store, _) = store([error(400, "BadDigest")]);
    let error = store.put(&key("a/b"), body("x")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("damaged on their way"), "{error}");
}
