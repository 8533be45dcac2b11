//! Reading what breaks off, is damaged, or is longer or shorter than was said.

use rekindle_store::{ObjectStore as _, StoreError};

use crate::answers::{bare, error, key, ok, partial, store};

/// SHA-256 of `hello`.
const SHA256: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";

#[tokio::test(start_paused = true)]
async fn what_is_too_long_is_not_read() {
    let (store, recorded) = store([ok("hello").of_length(5)]);
    let answer = store.get(&key("a"), 4).await;
    assert!(matches!(answer, Err(StoreError::TooLarge { found_bytes: 5, limit_bytes: 4, .. })), "{answer:?}");
    assert_eq!(recorded.requests()[0].header("x-amz-checksum-mode"), Some("ENABLED"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_asked_for_again_and_in_the_end_unavailable() {
    let short = || ok("hel").of_length(5);
    let (patient, _) = store([short(), ok("hello").of_length(5)]);
    assert_eq!(patient.get(&key("a"), 5).await.unwrap(), "hello");

    let (store, recorded) = store([short(), short(), short(), short()]);
    let answer = store.get(&key("a"), 5).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    assert_eq!(recorded.lines().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_never_longer_than_it_was_said_to_be() {
    let (store, _) = store((0..3).map(|_| ok("hello and more").of_length(5)));
    let answer = store.get(&key("a"), 5).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_match_its_checksum_is_not_given_out() {
    let whole = |text: &str| ok(text).of_length(5).with("x-amz-checksum-sha256", SHA256);
    let (patient, _) = store([whole("hullo"), whole("hello")]);
    assert_eq!(patient.get(&key("a"), 5).await.unwrap(), "hello");

    let (store, _) = store((0..3).map(|_| whole("hullo")));
    let answer = store.get(&key("a"), 5).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_range_is_exact() {
    let (store, recorded) = store([partial("ell", "bytes 1-3/5").of_length(3)]);
    assert_eq!(store.get_range(&key("a"), 1..4).await.unwrap(), "ell");
    assert_eq!(recorded.requests()[0].header("range"), Some("bytes=1-3"));
}

#[tokio::test(start_paused = true)]
async fn a_range_behind_the_end_is_short() {
    let (store, _) = store([
        error(416, "InvalidRange"),
        // S3 shortens a range that begins within the object.
        partial("lo", "bytes 3-4/5").of_length(2),
        ok("").of_length(5),
    ]);
    for range in [5..6, 3..9, 6..6] {
        let end = range.end;
        let answer = store.get_range(&key("a"), range).await;
        assert!(
            matches!(&answer, Err(StoreError::ShortObject { end: told, .. }) if *told == end),
            "{answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_object_in_place_of_a_range_is_no_answer() {
    let (store, _) = store([ok("hello").of_length(5)]);
    let answer = store.get_range(&key("a"), 0..4).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_without_a_length_is_no_answer() {
    let (store, _) = store([bare(200)]);
    let answer = store.head(&key("a")).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_where_s3_says() {
    let page = |name: &str, more: &str| {
        ok(format!(
            "<ListBucketResult>{more}<Contents><Key>a/{name}</Key><Size>3</Size></Contents></ListBucketResult>"
        ))
    };
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>from-here</NextContinuationToken>";
    let (store, recorded) = store([page("b", more), page("c", "<IsTruncated>false</IsTruncated>")]);
    let listed = store.list("a/").await.unwrap();
    assert_eq!(listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["a/b", "a/c"]);
    assert!(recorded.lines()[1].contains("continuation-token=from-here"), "{:?}", recorded.lines());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_say_where_it_goes_on_is_no_list() {
    let (store, _) = store([ok("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>")]);
    let answer = store.list("").await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_prefix_names_folders() {
    let (store, recorded) = store([]);
    for prefix in ["a", "/", "a//", "../", "a b/"] {
        assert!(matches!(store.list(prefix).await, Err(StoreError::Unavailable { .. })), "{prefix}");
    }
    assert_eq!(recorded.lines(), [""; 0]);
}
