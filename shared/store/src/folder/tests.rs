#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its folder has failed")]
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rekindle_domain::ObjectKey;
use tempfile::TempDir;

use super::directory::Directory;
use super::incoming::INCOMING_FOLDER;
use super::{FolderStore, failure};
use crate::{ObjectBody, ObjectStore, StoreError};

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

fn body(bytes: &[u8]) -> ObjectBody {
    Box::pin(std::io::Cursor::new(bytes.to_vec()))
}

fn bucket() -> (TempDir, FolderStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    (folder, store)
}

fn files_on_their_way(root: &Path) -> usize {
    std::fs::read_dir(root.join(INCOMING_FOLDER)).unwrap().count()
}

#[tokio::test]
async fn an_object_reads_back_as_it_was_written() {
    let (folder, store) = bucket();
    let large = vec![7_u8; 3 * 1024 * 1024 + 5];
    let written = store.put_new(&key("a/b/c"), body(&large)).await.unwrap();
    assert_eq!(written.size_bytes, large.len() as u64);
    assert_eq!(store.get(&key("a/b/c"), u64::MAX).await.unwrap(), large);
    assert_eq!(files_on_their_way(folder.path()), 0);
}

#[tokio::test]
async fn an_object_cannot_lie_where_a_folder_is_nor_under_another_one() {
    let (folder, store) = bucket();
    store.put(&key("a/b"), body(b"1")).await.unwrap();
    for text in ["a", "a/b/c", "a/b/c/d"] {
        let put_new = store.put_new(&key(text), body(b"2")).await;
        assert!(matches!(put_new, Err(StoreError::Refused { .. })), "{text}: {put_new:?}");
        let put = store.put(&key(text), body(b"2")).await;
        assert!(matches!(put, Err(StoreError::Refused { .. })), "{text}: {put:?}");
        assert!(matches!(store.get(&key(text), 9).await, Err(StoreError::NotFound { .. })));
        store.delete(&key(text)).await.unwrap();
    }
    assert_eq!(store.get(&key("a/b"), 9).await.unwrap(), "1");
    assert_eq!(files_on_their_way(folder.path()), 0);
}

#[tokio::test]
async fn folders_that_hold_nothing_any_more_are_in_nobodys_way() {
    let (_folder, store) = bucket();
    store.put(&key("a/b/c"), body(b"1")).await.unwrap();
    store.delete(&key("a/b/c")).await.unwrap();
    store.put_new(&key("a"), body(b"2")).await.unwrap();
}

#[tokio::test]
async fn symbolic_links_are_never_followed() {
    let (folder, store) = bucket();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("away")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
    for text in ["away/secret", "away/new", "link"] {
        let key = key(text);
        assert!(matches!(store.get(&key, 99).await, Err(StoreError::Refused { .. })), "{text}");
        assert!(matches!(store.put_new(&key, body(b"x")).await, Err(StoreError::Refused { .. })), "{text}");
        assert!(matches!(store.delete(&key).await, Err(StoreError::Refused { .. })), "{text}");
    }
    assert!(matches!(store.put(&key("away/new"), body(b"x")).await, Err(StoreError::Refused { .. })));
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.list("away/").await.unwrap(), []);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
}

#[tokio::test]
async fn a_pipe_under_a_key_holds_nobody_up() {
    let (folder, store) = bucket();
    let made = Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    assert!(matches!(store.get(&key("pipe"), 9).await, Err(StoreError::Refused { .. })));
}

#[tokio::test]
async fn a_writer_that_stops_leaves_nothing() {
    let (folder, store) = bucket();
    let (reader, writer) = tokio::io::duplex(16);
    let stopped =
        tokio::time::timeout(Duration::from_millis(50), store.put(&key("a"), Box::pin(reader))).await;
    assert!(stopped.is_err());
    drop(writer);
    let cleared = async {
        // Work on a file that had begun is finished first.
        while files_on_their_way(folder.path()) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), cleared).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
}

struct BrokenBody;

impl tokio::io::AsyncRead for BrokenBody {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::other("broken")))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let (folder, store) = bucket();
    let put = store.put_new(&key("a"), Box::pin(BrokenBody)).await;
    assert!(matches!(put, Err(StoreError::Unavailable { .. })));
    assert_eq!(files_on_their_way(folder.path()), 0);
    assert_eq!(store.list("").await.unwrap(), []);
}

#[tokio::test]
async fn what_a_crash_left_is_not_listed_and_is_cleared_after_an_hour() {
    let (folder, store) = bucket();
    let incoming = folder.path().join(INCOMING_FOLDER);
    for (name, age_minutes) in [("young", 59), ("old", 61)] {
        let file = std::fs::File::create(incoming.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_mins(age_minutes)).unwrap();
    }
    assert_eq!(store.list("").await.unwrap(), []);
    FolderStore::open(folder.path()).unwrap();
    assert!(incoming.join("young").exists());
    assert!(!incoming.join("old").exists());
}

#[tokio::test]
async fn puts_survive_deletes_that_remove_their_folders() {
    let (_folder, store) = bucket();
    let (one, other) = (store.clone(), store.clone());
    let putting = tokio::spawn(async move {
        for _ in 0..100 {
            one.put(&key("a/b/c/one"), body(b"1")).await.unwrap();
        }
    });
    let deleting = tokio::spawn(async move {
        for _ in 0..200 {
            other.delete(&key("a/b/c/one")).await.unwrap();
        }
    });
    putting.await.unwrap();
    deleting.await.unwrap();
}

#[test]
fn where_a_rename_cannot_be_exclusive_a_link_is() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path()).unwrap();
    for name in ["one", "other"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    directory.link_new_file("one", &directory, "object").unwrap();
    let second = directory.link_new_file("other", &directory, "object").unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(folder.path().join("object")).unwrap(), b"one");
    assert!(!folder.path().join("one").exists());
}

#[test]
fn a_full_disk_and_a_full_quota_are_no_space() {
    for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
        assert!(matches!(failure(&key("a"), "writing", errno.into()), StoreError::NoSpace { .. }));
    }
}

const SMALL_FOLDER: &str = "REKINDLE_TEST_SMALL_FOLDER";

/// Runs the next test on a file system of 256 KiB in a mount namespace of its own, where the machine allows one.
#[test]
fn a_full_disk_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let namespace = ["--user", "--map-root-user", "--mount"];
    let allowed = Command::new("unshare").args(namespace).arg("true").status();
    if !allowed.is_ok_and(|status| status.success()) {
        return;
    }
    let script = "mount -t tmpfs -o size=256k none \"$1\" && exec \"$2\" --ignored --exact \"$3\"";
    let inner = "folder::tests::a_full_disk_leaves_nothing_in_the_small_folder";
    let status = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .arg(inner)
        .env(SMALL_FOLDER, folder.path())
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
#[ignore = "the test before this one runs it on a small file system"]
async fn a_full_disk_leaves_nothing_in_the_small_folder() {
    let root = std::env::var(SMALL_FOLDER).unwrap();
    let store = FolderStore::open(&root).unwrap();
    let put = store.put_new(&key("a/b"), body(&vec![1; 1 << 20])).await;
    assert!(matches!(put, Err(StoreError::NoSpace { .. })), "{put:?}");
    assert_eq!(files_on_their_way(Path::new(&root)), 0);
    assert_eq!(store.list("").await.unwrap(), []);
    store.put_new(&key("a/b"), body(&vec![1; 1 << 16])).await.unwrap();
}

#[tokio::test]
async fn a_prefix_is_made_of_folders() {
    let (_folder, store) = bucket();
    for prefix in ["a", "../", "/", "a//", "a/../"] {
        assert!(store.list(prefix).await.is_err(), "{prefix:?} was accepted");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_keys_are_written_are_listed_in_order_and_stay_inside(
        texts in prop::collection::btree_set("[ab.=-]{1,3}(/[ab._]{1,3}){0,3}", 1..12),
    ) {
        let keys: Vec<ObjectKey> = texts.iter().filter_map(|text| ObjectKey::parse(text).ok()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let parent = tempfile::tempdir().unwrap();
            let store = FolderStore::open(parent.path().join("bucket")).unwrap();
            let mut written = Vec::new();
            for key in keys {
                let put = store.put_new(&key, body(key.as_str().as_bytes())).await;
                prop_assert!(matches!(put, Ok(_) | Err(StoreError::Refused { .. })), "{key}: {put:?}");
                if put.is_ok() {
                    written.push(key);
                }
            }
            let listed: Vec<ObjectKey> =
                store.list("").await.unwrap().into_iter().map(|object| object.key).collect();
            prop_assert_eq!(&listed, &written);
            for key in &written {
                prop_assert_eq!(store.get(key, 100).await.unwrap(), key.as_str());
                store.delete(key).await.unwrap();
            }
            prop_assert_eq!(store.list("").await.unwrap(), vec![]);
            prop_assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
            Ok(())
        })?;
    }
}
