#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its folder has failed")]
use std::collections::BTreeSet;
use std::time::Duration;

use rekindle_domain::{BackupId, MachineKey, ObjectKey};
use tempfile::TempDir;

use super::{FolderWatch, Noticed, ReadFlags, may_hold_descriptions};
use crate::{FolderStore, ObjectBody, ObjectStore};

fn bucket() -> (TempDir, FolderStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    (folder, store)
}

fn body() -> ObjectBody {
    Box::pin(&b"{}"[..])
}

fn set_description(machine: &str) -> ObjectKey {
    MachineKey::parse(machine).unwrap().set_description_key(&BackupId::mint())
}

async fn next_within_seconds(watch: &mut FolderWatch) -> ObjectKey {
    tokio::time::timeout(Duration::from_secs(20), watch.next()).await.unwrap()
}

#[tokio::test]
async fn a_description_in_new_folders_is_noticed() {
    let (_folder, store) = bucket();
    let mut watch = FolderWatch::start(&store).await.unwrap();
    let key = set_description("acme/orders/database");
    store.put_new(&key, body()).await.unwrap();
    assert_eq!(next_within_seconds(&mut watch).await, key);
}

#[tokio::test]
async fn other_objects_wake_nobody() {
    let (_folder, store) = bucket();
    let mut watch = FolderWatch::start(&store).await.unwrap();
    let key = set_description("acme/orders/database");
    for text in ["set.json", "reports/set.json", "customers/acme/set.json", &format!("{key}.minisig")] {
        store.put_new(&ObjectKey::parse(text).unwrap(), body()).await.unwrap();
    }
    store.put_new(&key, body()).await.unwrap();
    assert_eq!(next_within_seconds(&mut watch).await, key);
}

#[tokio::test]
async fn none_of_many_at_once_is_missed() {
    let (_folder, store) = bucket();
    let mut watch = FolderWatch::start(&store).await.unwrap();
    let machines = ["acme/orders/database", "acme/orders/front", "acme/mail/server", "zenith/web/one"];
    let keys: BTreeSet<ObjectKey> =
        (0..60).map(|number| set_description(machines[number % machines.len()])).collect();
    for key in keys.clone() {
        let store = store.clone();
        tokio::spawn(async move { store.put_new(&key, body()).await.unwrap() });
    }
    let mut noticed = BTreeSet::new();
    while noticed.len() < keys.len() {
        noticed.insert(next_within_seconds(&mut watch).await);
    }
    assert_eq!(noticed, keys);
}

#[tokio::test]
async fn a_caller_who_stops_waiting_misses_nothing() {
    let (_folder, store) = bucket();
    let mut watch = FolderWatch::start(&store).await.unwrap();
    let key = set_description("acme/orders/database");
    let writing = tokio::spawn({
        let key = key.clone();
        async move { store.put_new(&key, body()).await.unwrap() }
    });
    let mut patience = 20_000;
    let noticed = loop {
        // Woken at every turn of the executor, and cancelled there.
        tokio::select! {
            biased;
            key = watch.next() => break key,
            () = tokio::task::yield_now() => {}
        }
        patience -= 1;
        assert!(patience > 0);
        tokio::time::sleep(Duration::from_micros(50)).await;
    };
    assert_eq!(noticed, key);
    writing.await.unwrap();
}

#[tokio::test]
async fn an_overflow_makes_it_look_again() {
    let (_folder, store) = bucket();
    let key = set_description("acme/orders/database");
    store.put_new(&key, body()).await.unwrap();
    let mut watch = FolderWatch::start(&store).await.unwrap();
    let noticed = watch.watched.notice(-1, ReadFlags::QUEUE_OVERFLOW, "");
    watch.unseen.extend(match noticed {
        Noticed::Unseen(prefix) => Some(prefix),
        Noticed::Nothing | Noticed::Description(_) => None,
    });
    assert_eq!(next_within_seconds(&mut watch).await, key);
}

#[tokio::test]
async fn a_set_that_is_complete_needs_no_watch() {
    let (_folder, store) = bucket();
    store.put_new(&set_description("acme/orders/database"), body()).await.unwrap();
    let watch = FolderWatch::start(&store).await.unwrap();
    // The root and the seven folders above the set's own.
    assert_eq!(watch.watched.prefixes().len(), 8);
}

#[tokio::test]
async fn a_scan_finds_what_was_there_before() {
    let (_folder, store) = bucket();
    let key = set_description("acme/orders/database");
    for text in ["reports/set.json", key.as_str(), &format!("{key}.minisig")] {
        store.put_new(&ObjectKey::parse(text).unwrap(), body()).await.unwrap();
    }
    assert_eq!(FolderWatch::scan(&store).await.unwrap(), [key]);
}

#[test]
fn only_the_folders_of_sets_are_watched() {
    for prefix in ["customers/", "customers/acme/", "customers/a/services/b/machines/c/sets/d/"] {
        assert!(may_hold_descriptions(prefix), "{prefix}");
    }
    for prefix in ["reports/", "customers/a/other/", "customers/a/services/b/machines/c/sets/d/e/"] {
        assert!(!may_hold_descriptions(prefix), "{prefix}");
    }
}
