//! Objects that are sent in parts.

use rekindle_store::{ObjectStore as _, StoreError};

use crate::answers::{Answer, Recorded, body, error, key, ok, store};
use crate::writing::mark;

const PART_BYTES: usize = 16 * 1024 * 1024;

fn begun() -> Answer {
    ok("<InitiateMultipartUploadResult><UploadId>the-upload</UploadId></InitiateMultipartUploadResult>")
}

fn part() -> Answer {
    ok("").with("etag", "\"of-a-part\"").with("x-amz-checksum-sha256", "checksum-of-a-part")
}

fn completed() -> Answer {
    ok("<CompleteMultipartUploadResult><ETag>of-all</ETag></CompleteMultipartUploadResult>")
}

fn aborted() -> Answer {
    ok("")
}

fn is_aborted(recorded: &Recorded) -> bool {
    recorded.lines().iter().any(|line| line.starts_with("DELETE /bucket/a/b?") && line.contains("the-upload"))
}

#[tokio::test(start_paused = true)]
async fn parts_bring_checksums_and_the_completion_brings_the_condition() {
    let (store, recorded) = store([begun(), part(), part(), completed()]);
    let written = store.put_new(&key("a/b"), body(vec![7; PART_BYTES + 5])).await.unwrap();
    assert_eq!(written.size_bytes, PART_BYTES as u64 + 5);
    let requests = recorded.requests();
    assert!(requests[0].line.starts_with("POST /bucket/a/b?uploads"), "{}", requests[0].line);
    assert_eq!(requests[0].header("x-amz-checksum-algorithm"), Some("SHA256"));
    for request in &requests[1..3] {
        assert!(request.line.contains("uploadId=the-upload"), "{}", request.line);
        assert!(request.header("x-amz-checksum-sha256").is_some());
    }
    let completing = &requests[3];
    assert_eq!(completing.header("if-none-match"), Some("*"));
    assert_eq!(completing.header("x-amz-mp-object-size"), Some("16777221"));
    let list = String::from_utf8(completing.body.clone()).unwrap();
    let first = list.find("<PartNumber>1</PartNumber>").unwrap();
    assert!(first < list.find("<PartNumber>2</PartNumber>").unwrap());
    assert_eq!(list.matches("checksum-of-a-part").count(), 2, "{list}");
    assert!(!is_aborted(&recorded));
}

#[tokio::test(start_paused = true)]
async fn an_object_of_exactly_one_part_is_one_request() {
    let (store, recorded) = store([ok("")]);
    store.put(&key("a/b"), body(vec![7; PART_BYTES])).await.unwrap();
    assert_eq!(recorded.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_precondition_at_the_completion_is_an_object_that_exists() {
    let (store, recorded) = store([
        begun(),
        part(),
        part(),
        error(412, "PreconditionFailed"),
        ok("").with("x-amz-meta-rekindle-writer", "another"),
        aborted(),
    ]);
    let answer = store.put_new(&key("a/b"), body(vec![7; PART_BYTES + 5])).await;
    assert!(matches!(answer, Err(StoreError::AlreadyExists { .. })), "{answer:?}");
    assert!(is_aborted(&recorded), "{:?}", recorded.lines());
}

/// S3 wants the whole upload again after this one, and the body is gone.
#[tokio::test(start_paused = true)]
async fn a_conflict_at_the_completion_is_unavailable_and_aborts() {
    let (store, recorded) =
        store([begun(), part(), part(), error(409, "ConditionalRequestConflict"), aborted()]);
    let answer = store.put_new(&key("a/b"), body(vec![7; PART_BYTES + 5])).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    assert!(is_aborted(&recorded), "{:?}", recorded.lines());
}

/// S3 can begin its answer with 200 and find out afterwards that it cannot do it.
#[tokio::test(start_paused = true)]
async fn an_error_in_a_successful_completion_is_an_error() {
    let failed = || ok("<Error><Code>InternalError</Code><Message>try again</Message></Error>");
    let (store, recorded) = store([begun(), part(), part(), failed(), failed(), failed(), aborted()]);
    let answer = store.put(&key("a/b"), body(vec![7; PART_BYTES + 5])).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    assert!(is_aborted(&recorded), "{:?}", recorded.lines());
}

#[tokio::test(start_paused = true)]
async fn a_completion_whose_answer_was_lost_recognises_its_own_object() {
    for second in [error(404, "NoSuchUpload"), error(412, "PreconditionFailed")] {
        let (store, recorded) = store([begun(), part(), part(), error(503, "ServiceUnavailable"), second]);
        let key = key("a/b");
        let put = store.put_new(&key, body(vec![7; PART_BYTES + 5]));
        let answering = async {
            while recorded.lines().len() < 2 {
                tokio::task::yield_now().await;
            }
            recorded.push(ok("").with("x-amz-meta-rekindle-writer", mark(&recorded)));
        };
        let (written, ()) = tokio::join!(put, answering);
        assert_eq!(written.unwrap().size_bytes, PART_BYTES as u64 + 5);
        assert!(!is_aborted(&recorded));
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_refused_aborts_the_upload() {
    let (store, recorded) = store([begun(), error(403, "AccessDenied"), aborted(), aborted(), aborted()]);
    let answer = store.put_new(&key("a/b"), body(vec![7; PART_BYTES * 2])).await;
    assert!(answer.is_err());
    assert!(is_aborted(&recorded), "{:?}", recorded.lines());
}
