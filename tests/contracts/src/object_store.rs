//! What every object store does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::join_all;
use rekindle_domain::ObjectKey;
use rekindle_store::{ObjectBody, ObjectStore, StoreError};
use tokio::io::{AsyncRead, ReadBuf};

type Store = Arc<dyn ObjectStore>;

/// Runs the suite. Each call of `make` gives a store without any object.
///
/// # Panics
/// When the store does not keep the contract.
pub async fn object_store(make: impl AsyncFn() -> Store) {
    what_is_absent_is_not_found(make().await).await;
    an_object_reads_back_whole(make().await).await;
    a_new_object_replaces_nothing(make().await).await;
    one_of_many_new_objects_wins(make().await).await;
    a_put_replaces_and_a_reader_sees_one_or_the_other(make().await).await;
    reads_are_limited(make().await).await;
    ranges_lie_within_the_object(make().await).await;
    a_list_is_sorted_and_ends_at_its_prefix(make().await).await;
    a_delete_can_be_repeated(make().await).await;
    a_body_that_breaks_off_leaves_nothing(make().await).await;
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

fn body(bytes: impl Into<Vec<u8>>) -> ObjectBody {
    Box::pin(io::Cursor::new(bytes.into()))
}

fn is_not_found<T>(answer: Result<T, StoreError>, wanted: &ObjectKey) -> bool {
    matches!(answer, Err(StoreError::NotFound { key }) if key == *wanted)
}

async fn what_is_absent_is_not_found(store: Store) {
    let absent = key("customers/acme/absent");
    assert!(is_not_found(store.head(&absent).await, &absent));
    assert!(is_not_found(store.get(&absent, 10).await, &absent));
    assert!(is_not_found(store.get_range(&absent, 0..1).await, &absent));
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.list("customers/").await.unwrap(), []);
}

async fn an_object_reads_back_whole(store: Store) {
    let large: Vec<u8> = (0..5_000_011_u32).map(|number| number.to_le_bytes()[0]).collect();
    for (name, content) in [("empty", Vec::new()), ("small", b"small".to_vec()), ("large", large)] {
        let key = key(&format!("customers/acme/{name}"));
        let size_bytes = content.len() as u64;
        let written = store.put_new(&key, body(content.clone())).await.unwrap();
        assert_eq!((&written.key, written.size_bytes), (&key, size_bytes));
        assert_eq!(store.head(&key).await.unwrap(), written);
        assert!(store.get(&key, size_bytes).await.unwrap() == content, "{name} reads back differently");
    }
}

async fn a_new_object_replaces_nothing(store: Store) {
    let key = key("a/b");
    store.put_new(&key, body("first")).await.unwrap();
    let second = store.put_new(&key, body("second")).await;
    assert!(matches!(second, Err(StoreError::AlreadyExists { key: taken }) if taken == key));
    assert_eq!(store.get(&key, 10).await.unwrap(), "first");
}

async fn one_of_many_new_objects_wins(store: Store) {
    let key = key("deep/down/in/folders/object");
    let writers = (0..20_u8).map(|number| {
        let (store, key) = (Arc::clone(&store), key.clone());
        tokio::spawn(async move { (number, store.put_new(&key, body(vec![number; 100_000])).await) })
    });
    let mut winners = Vec::new();
    for finished in join_all(writers).await {
        match finished.unwrap() {
            (number, Ok(_)) => winners.push(number),
            (_, Err(StoreError::AlreadyExists { .. })) => {}
            (number, Err(error)) => panic!("writer {number} was told: {error}"),
        }
    }
    let [winner] = winners.as_slice() else { panic!("these were told that they won: {winners:?}") };
    assert!(store.get(&key, 100_000).await.unwrap() == vec![*winner; 100_000]);
    assert_eq!(store.list("").await.unwrap().len(), 1);
}

async fn a_put_replaces_and_a_reader_sees_one_or_the_other(store: Store) {
    let key = key("a/b");
    let contents = [vec![1_u8; 300_000], vec![2_u8; 200_000]];
    store.put(&key, body(contents[0].clone())).await.unwrap();
    let writer = tokio::spawn({
        let (store, key, contents) = (Arc::clone(&store), key.clone(), contents.clone());
        async move {
            for turn in 1..=20 {
                store.put(&key, body(contents[turn % 2].clone())).await.unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let read = store.get(&key, 300_000).await.unwrap();
        assert!(contents.iter().any(|content| read == content), "a part of an object was seen");
    }
    writer.await.unwrap();
    assert!(store.get(&key, 300_000).await.unwrap() == contents[0]);
}

async fn reads_are_limited(store: Store) {
    let key = key("a");
    store.put(&key, body("12345")).await.unwrap();
    assert_eq!(store.get(&key, 5).await.unwrap(), "12345");
    let read = store.get(&key, 4).await;
    assert!(matches!(read, Err(StoreError::TooLarge { found_bytes: 5, limit_bytes: 4, .. })), "{read:?}");
}

async fn ranges_lie_within_the_object(store: Store) {
    let key = key("a");
    store.put(&key, body("12345")).await.unwrap();
    assert_eq!(store.get_range(&key, 0..5).await.unwrap(), "12345");
    assert_eq!(store.get_range(&key, 1..3).await.unwrap(), "23");
    assert_eq!(store.get_range(&key, 2..2).await.unwrap(), "");
    for (range, end) in [(4..6, 6), (0..u64::MAX, u64::MAX), (6..6, 6)] {
        let read = store.get_range(&key, range).await;
        assert!(matches!(&read, Err(StoreError::ShortObject { end: told, .. }) if *told == end), "{read:?}");
    }
    let backwards = std::ops::Range { start: 3, end: 2 };
    assert!(store.get_range(&key, backwards).await.is_err());
}

async fn a_list_is_sorted_and_ends_at_its_prefix(store: Store) {
    // In the order of bytes: `-` and `.` come before `/`, which comes before letters.
    let keys = ["a-b/x", "a.b", "a/b/c", "a/b/d", "a/c", "aa/x", "b"];
    for text in keys.iter().rev() {
        store.put_new(&key(text), body(*text)).await.unwrap();
    }
    for (prefix, expected) in
        [("", &keys[..]), ("a/", &keys[2..5]), ("a/b/", &keys[2..4]), ("a/b/c/", &[]), ("c/", &[])]
    {
        let listed = store.list(prefix).await.unwrap();
        let found: Vec<&str> = listed.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(found, expected, "under {prefix:?}");
        assert!(listed.iter().all(|object| object.size_bytes == object.key.as_str().len() as u64));
    }
}

async fn a_delete_can_be_repeated(store: Store) {
    let (gone, kept) = (key("a/b"), key("a/c"));
    store.put(&gone, body("1")).await.unwrap();
    store.put(&kept, body("2")).await.unwrap();
    for _ in 0..2 {
        store.delete(&gone).await.unwrap();
        assert!(is_not_found(store.get(&gone, 9).await, &gone));
    }
    assert_eq!(store.list("").await.unwrap().len(), 1);
    store.put_new(&gone, body("3")).await.unwrap();
    assert_eq!(store.get(&gone, 9).await.unwrap(), "3");
    assert_eq!(store.get(&kept, 9).await.unwrap(), "2");
}

/// Gives some bytes, and then an error.
struct BreakingOff {
    given: usize,
}

impl AsyncRead for BreakingOff {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given > 100_000 {
            return Poll::Ready(Err(io::Error::other("broken off")));
        }
        let count = buffer.remaining().min(10_000);
        buffer.put_slice(&vec![0; count]);
        self.given += count;
        Poll::Ready(Ok(()))
    }
}

async fn a_body_that_breaks_off_leaves_nothing(store: Store) {
    let key = key("a/b");
    let breaking_off = || Box::pin(BreakingOff { given: 0 });
    store.put_new(&key, breaking_off()).await.unwrap_err();
    assert!(is_not_found(store.head(&key).await, &key));
    store.put(&key, body("whole")).await.unwrap();
    store.put(&key, breaking_off()).await.unwrap_err();
    assert_eq!(store.get(&key, 9).await.unwrap(), "whole");
}
