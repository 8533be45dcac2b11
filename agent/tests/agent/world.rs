//! A production host and instances of one machine, with a store between them, each under a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle_agent::jobs::{Instance, Progress, perform};
use rekindle_agent::keys::{DataIdentity, SigningKey};
use rekindle_agent::places::Places;
use rekindle_agent::{builtin_recipes, state::State};
use rekindle_domain::job::{Job, JobId, JobResult};
use rekindle_domain::{BackupId, BackupSet, JobWork, MachineKey, ObjectKey, RunId, SetPosition, Verdict};
use rekindle_step::{ErrorName, StepError};
use rekindle_store::{FolderStore, ObjectStore as _};

pub const AGENT: &str = env!("CARGO_BIN_EXE_rekindle-agent");

pub struct World {
    pub folder: tempfile::TempDir,
    pub machine: MachineKey,
    pub signing: SigningKey,
    pub identity: DataIdentity,
    data_store: String,
    object_mebibytes: u32,
}

impl World {
    /// A world whose one data store is this TOML, in which `ROOT` stands for the root of each host.
    pub fn new(data_store: &str) -> Self {
        Self::with_objects_of(1, data_store)
    }

    /// The same, with objects of this size in the store.
    pub fn with_objects_of(object_mebibytes: u32, data_store: &str) -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            machine: MachineKey::parse("acme/orders/database").unwrap(),
            signing: SigningKey::generate().unwrap(),
            identity: DataIdentity::generate(),
            data_store: data_store.to_owned(),
            object_mebibytes,
        };
        for bucket in ["control", "data"] {
            std::fs::create_dir_all(world.folder.path().join("store").join(bucket)).unwrap();
        }
        world.signing.write(&world.signing_key()).unwrap();
        world.furnish(&world.production());
        world
    }

    pub fn sqlite() -> Self {
        Self::new(
            r#"
            [[data_stores]]
            name = "orders"
            recipe = "sqlite"
            params = { database = "ROOT/srv/orders.db" }
            probes = [
                { name = "count", query = "SELECT count(*), sum(amount) FROM orders" },
                { name = "newest", query = "SELECT id, note FROM orders ORDER BY id DESC LIMIT 3" },
            ]
            "#,
        )
    }

    pub fn production(&self) -> Places {
        Places::under(self.folder.path().join("production"))
    }

    fn signing_key(&self) -> PathBuf {
        self.folder.path().join("signing.key")
    }

    /// Puts the files of an image into a root.
    pub fn furnish(&self, places: &Places) {
        let root = places.root().to_str().unwrap();
        std::fs::create_dir_all(places.inside("/srv")).unwrap();
        let text = format!(
            "machine = \"{}\"\n[backup]\nobject_mebibytes = {}\n{}",
            self.machine,
            self.object_mebibytes,
            self.data_store.replace("ROOT", root)
        );
        write(&places.configuration(), text.as_bytes());
        write(&places.trusted_keys().join("customer.pub"), self.signing.public_text().unwrap().as_bytes());
        for recipe in builtin_recipes() {
            let path = places.recipes().join(format!("{}.toml", recipe.name));
            write(&path, recipe.text.as_bytes());
            let signature = self.signing.sign(recipe.text.as_bytes(), "a recipe").unwrap();
            write(&places.recipes().join(format!("{}.toml.minisig", recipe.name)), signature.as_bytes());
        }
    }

    /// A new instance from the base image.
    pub fn builder(&self, name: &str) -> Instance {
        let places = Places::under(self.folder.path().join(name));
        self.furnish(&places);
        self.boot(places)
    }

    /// What every boot of an instance finds.
    pub fn boot(&self, places: Places) -> Instance {
        let run = places.inside("/run/rekindle");
        let _ = std::fs::remove_dir_all(&run);
        std::fs::create_dir_all(run.join("store")).unwrap();
        for bucket in ["control", "data"] {
            let target = self.folder.path().join("store").join(bucket);
            std::os::unix::fs::symlink(target, places.bucket(bucket)).unwrap();
        }
        self.identity.write(&places.identity()).unwrap();
        Instance::new(places, AGENT.into())
    }

    pub fn bucket(&self, name: &str) -> FolderStore {
        FolderStore::open(self.folder.path().join("store").join(name)).unwrap()
    }

    pub fn backup_output(&self, more: &[&str]) -> Output {
        Command::new(AGENT)
            .arg("--root")
            .arg(self.production().root())
            .args(["backup", "--json", "--recipient", &self.identity.recipient().text()])
            .arg("--signing-key")
            .arg(self.signing_key())
            .arg("--control")
            .arg(self.folder.path().join("store/control"))
            .arg("--data")
            .arg(self.folder.path().join("store/data"))
            .args(more)
            .output()
            .unwrap()
    }

    pub fn publish_configuration(&self, document: &str) -> Output {
        let path = self.folder.path().join("document.json");
        std::fs::write(&path, document).unwrap();
        Command::new(AGENT)
            .arg("--root")
            .arg(self.production().root())
            .arg("publish-configuration")
            .arg(path)
            .args(["--json", "--signing-key"])
            .arg(self.signing_key())
            .arg("--control")
            .arg(self.folder.path().join("store/control"))
            .output()
            .unwrap()
    }

    pub fn backup(&self, kind: &str) -> serde_json::Value {
        let output = self.backup_output(&["--kind", kind]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the backup failed: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn backup_id(&self, kind: &str) -> BackupId {
        id_of(&self.backup(kind))
    }

    pub async fn set(&self, backup_id: &BackupId) -> BackupSet {
        let key = self.machine.set_description_key(backup_id);
        let bytes = self.bucket("control").get(&key, 1 << 20).await.unwrap();
        BackupSet::parse(&bytes, &self.machine, backup_id).unwrap()
    }

    /// Changes a description and signs it again, as somebody who holds the key could.
    pub async fn forge(&self, backup_id: &BackupId, change: impl FnOnce(&mut serde_json::Value)) {
        let key = self.machine.set_description_key(backup_id);
        let bytes = self.bucket("control").get(&key, 1 << 20).await.unwrap();
        let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        change(&mut value);
        self.publish(backup_id, &serde_json::to_vec(&value).unwrap(), &self.signing).await;
    }

    pub async fn publish(&self, backup_id: &BackupId, bytes: &[u8], key: &SigningKey) {
        let signature = key.sign(bytes, "a set").unwrap();
        self.put("control", &self.machine.set_description_key(backup_id), bytes).await;
        self.put("control", &self.machine.set_signature_key(backup_id), signature.as_bytes()).await;
    }

    pub async fn put(&self, bucket: &str, key: &ObjectKey, bytes: &[u8]) {
        self.bucket(bucket).put(key, Box::pin(std::io::Cursor::new(bytes.to_vec()))).await.unwrap();
    }

    pub fn database(&self, places: &Places) -> PathBuf {
        places.inside("/srv/orders.db")
    }

    /// Production's database with this many orders.
    pub fn fill(&self, orders: u32) {
        let connection = rusqlite::Connection::open(self.database(&self.production())).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, note TEXT NOT NULL);
                 BEGIN;",
            )
            .unwrap();
        for _ in 0..orders {
            connection
                .execute(
                    "INSERT INTO orders (amount, note) VALUES (abs(random() % 1000), hex(randomblob(200)))",
                    [],
                )
                .unwrap();
        }
        connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }
}

pub fn id_of(summary: &serde_json::Value) -> BackupId {
    BackupId::parse(summary["backup_id"].as_str().unwrap()).unwrap()
}

pub fn rows(database: &Path) -> Vec<(i64, i64, String)> {
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut statement = connection.prepare("SELECT id, amount, note FROM orders ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

pub fn job(work: JobWork) -> Job {
    let machine = MachineKey::parse("acme/orders/database").unwrap();
    let step = work.name().to_owned();
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(120);
    Job { id: JobId { run_id: RunId::mint(), machine, step }, work, deadline, heartbeat_seconds: 3 }
}

pub async fn perform_work(instance: &Instance, work: JobWork) -> Result<JobResult, StepError> {
    perform(instance, &job(work), &Progress::default()).await
}

pub async fn restore(
    instance: &Instance,
    sets: &[&BackupId],
    applied: Option<SetPosition>,
) -> Result<JobResult, StepError> {
    let sets = sets.iter().map(|&set| set.clone()).collect();
    perform_work(instance, JobWork::TransferAndRestore { sets, applied }).await
}

pub async fn verify(instance: &Instance, backup_id: &BackupId) -> Verdict {
    match perform_work(instance, JobWork::Verify { backup_id: backup_id.clone() }).await.unwrap() {
        JobResult::Verified { verdict } => verdict,
        other => panic!("{other:?}"),
    }
}

pub async fn refused_with(instance: &Instance, sets: &[&BackupId], name: ErrorName) {
    let before = State::read(&instance.places).unwrap();
    let error = restore(instance, sets, before.position()).await.expect_err("it was accepted");
    assert_eq!(error.name, name, "{}", error.chain());
    assert_eq!(State::read(&instance.places).unwrap(), before, "a refused set changed the state");
}

pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Every file below a folder; links are not followed.
pub fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files_under(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
