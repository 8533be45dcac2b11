//! A customer with one machine: the production host that takes backups, the store, and the site whose instances run
//! the real agent. Nothing is simulated but the time, and that only moves when a test moves it.

mod clock;
mod customer;
mod production;
mod site;
mod store;

use std::path::PathBuf;

use rekindle_domain::BackupId;
use tempfile::TempDir;

pub use clock::MovableClock;
pub use customer::Customer;
pub use production::{Kind, Production};
pub use site::{Ended, Site};
pub use store::Store;

/// Rows of the production database: enough for several pages, few enough for a second.
const ROWS: u32 = 300;

/// All of it.
pub struct World {
    /// The one who owns the data and the keys.
    pub customer: Customer,
    /// Where the data comes from.
    pub production: Production,
    /// What lies between the two.
    pub store: Store,
    /// Where the images are.
    pub site: Site,
    _folder: TempDir,
}

impl World {
    /// A world in which one backup was refreshed into one proven image.
    pub async fn with_a_good_image() -> Self {
        let world = Self::new().await;
        world.production.back_up(Kind::Full);
        let refreshed = world.site.refresh().await;
        assert_eq!(refreshed.error(), None, "{}", refreshed.cause());
        assert!(world.site.newest_image().await.is_some(), "the first refresh registered no image");
        world
    }

    async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("rekindle-world-").tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let customer = Customer::new(&path.join("keys"));
        let store = Store::make(&path.join("store"));
        let production = Production::furnish(path.join("production"), &customer, &store);
        production.add_rows(ROWS);
        let site = Site::open(&path, &customer, &store).await;
        Self { customer, production, store, site, _folder: folder }
    }

    /// Changes a description and signs it again, as somebody who holds the key could.
    pub fn forge(&self, backup: &BackupId, change: impl FnOnce(&mut serde_json::Value)) {
        let mut description = self.store.description(backup);
        change(&mut description);
        let bytes = serde_json::to_vec(&description).unwrap();
        self.store.publish(backup, &bytes, &self.customer.sign(&bytes));
    }

    /// Where the first data object of a set lies.
    pub fn data_object(&self, backup: &BackupId) -> PathBuf {
        let description = self.store.description(backup);
        let key = description["data_stores"][0]["objects"][0]["key"].as_str().unwrap();
        self.store.data.join(key)
    }
}
