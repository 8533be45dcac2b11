//! The suite of the object store, against each of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its folder has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rekindle_contract_tests::object_store;
use rekindle_store::{FolderStore, ObjectStore};

#[tokio::test(flavor = "multi_thread")]
async fn a_local_folder() {
    let parent = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let make = async || {
        let name = count.fetch_add(1, Ordering::Relaxed).to_string();
        let store: Arc<dyn ObjectStore> = Arc::new(FolderStore::open(parent.path().join(name)).unwrap());
        store
    };
    object_store(make).await;
}
