//! The store against an emulator of S3. `cargo xtask e2e-aws` starts one and sets the environment.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use rekindle_contract_tests::object_store;
use rekindle_domain::ObjectKey;
use rekindle_store::{ObjectBody, ObjectStore, StoreError};
use rekindle_store_s3::S3Store;
use tokio::io::AsyncReadExt as _;

const PART_BYTES: usize = 16 * 1024 * 1024;

/// A bucket without any object, and a client that sees more of it than the store shows.
async fn bucket() -> (S3Store, Client) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = Client::new(&config);
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("store-{}-{}-{count}", since_epoch.as_nanos(), std::process::id());
    let region = config.region().unwrap().to_string();
    let place = BucketLocationConstraint::from(region.as_str());
    let place = CreateBucketConfiguration::builder().location_constraint(place).build();
    client.create_bucket().bucket(&name).create_bucket_configuration(place).send().await.unwrap();
    (S3Store::new(&config, name), client)
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

fn body(bytes: impl Into<Vec<u8>>) -> ObjectBody {
    Box::pin(io::Cursor::new(bytes.into()))
}

fn long(bytes: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(bytes).collect()
}

async fn uploads(store: &S3Store, client: &Client) -> usize {
    let answer = client.list_multipart_uploads().bucket(store.bucket()).send().await.unwrap();
    answer.uploads().len()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulators"]
async fn a_bucket_keeps_the_contract_of_stores() {
    let make = async || {
        let store: Arc<dyn ObjectStore> = Arc::new(bucket().await.0);
        store
    };
    object_store(make).await;
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn objects_around_the_length_of_a_part_read_back_whole() {
    let (store, client) = bucket().await;
    for length in [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 5 * PART_BYTES + 7] {
        let (key, content) = (key(&format!("customers/acme/{length}")), long(length));
        let written = store.put_new(&key, body(content.clone())).await.unwrap();
        assert_eq!(written.size_bytes, length as u64);
        assert_eq!(store.head(&key).await.unwrap(), written);
        assert!(store.get(&key, length as u64).await.unwrap() == content, "{length} reads back differently");
        let range = length as u64 - 11..length as u64 - 1;
        assert!(store.get_range(&key, range).await.unwrap() == content[length - 11..length - 1]);
    }
    assert_eq!(uploads(&store, &client).await, 0);
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn a_long_object_replaces_nothing_either() {
    let (store, client) = bucket().await;
    let key = key("a/b");
    store.put_new(&key, body("first")).await.unwrap();
    let second = store.put_new(&key, body(long(PART_BYTES + 1))).await;
    assert!(matches!(second, Err(StoreError::AlreadyExists { .. })), "{second:?}");
    assert_eq!(store.get(&key, 10).await.unwrap(), "first");
    assert_eq!(uploads(&store, &client).await, 0);
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn an_upload_that_breaks_off_or_is_dropped_is_aborted() {
    let (store, client) = bucket().await;
    let key = key("a/b");
    let breaking = io::Cursor::new(long(3 * PART_BYTES)).chain(Breaking);
    store.put_new(&key, Box::pin(breaking)).await.unwrap_err();
    assert_eq!(uploads(&store, &client).await, 0);

    let hanging = io::Cursor::new(long(3 * PART_BYTES)).chain(Hanging);
    let stopped = tokio::time::timeout(Duration::from_secs(3), store.put(&key, Box::pin(hanging))).await;
    assert!(stopped.is_err());
    let aborted = async {
        while uploads(&store, &client).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), aborted).await.unwrap();
    assert!(matches!(store.head(&key).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn lists_longer_than_a_page_are_read_to_the_end() {
    let (store, client) = bucket().await;
    for number in 0..1005 {
        store.put_new(&key(&format!("many/{number:05}")), body("x")).await.unwrap();
    }
    // As a console makes them: nothing that a store wrote.
    client.put_object().bucket(store.bucket()).key("many/folder/").send().await.unwrap();
    let listed = store.list("many/").await.unwrap();
    assert_eq!(listed.len(), 1005);
    assert!(listed.is_sorted_by_key(|object| object.key.clone()));
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn a_bucket_that_is_not_there_is_not_an_absent_object() {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let store = S3Store::new(&config, "no-such-bucket-of-rekindle");
    for error in [
        store.get(&key("a"), 1).await.unwrap_err(),
        store.put_new(&key("a"), body("x")).await.unwrap_err(),
        store.list("").await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("there is no such bucket"), "{error}");
    }
}

struct Breaking;

impl tokio::io::AsyncRead for Breaking {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(io::Error::other("broken off")))
    }
}

struct Hanging;

impl tokio::io::AsyncRead for Hanging {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Pending
    }
}
