//! The production host: a folder that stands for its root, a small database, and the agent that takes backups of it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle_domain::BackupId;
use serde_json::Value;

use super::{Customer, Store};
use crate::program;

/// What to take.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Everything.
    Full,
    /// What changed since the set before.
    Incremental,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// The host.
pub struct Production {
    root: PathBuf,
    backup_arguments: Vec<String>,
}

impl Production {
    /// Puts the agent's files and an empty database into a folder.
    pub fn furnish(root: PathBuf, customer: &Customer, store: &Store) -> Self {
        let shown = |path: &Path| path.to_str().unwrap().to_owned();
        let backup_arguments = vec![
            "--root".to_owned(),
            shown(&root),
            "backup".to_owned(),
            "--json".to_owned(),
            "--signing-key".to_owned(),
            shown(&customer.signing_key_file),
            "--recipient".to_owned(),
            customer.recipient.clone(),
            "--control".to_owned(),
            shown(&store.control),
            "--data".to_owned(),
            shown(&store.data),
        ];
        let production = Self { root, backup_arguments };
        production.put_files(&customer.agent_files(&production.database()));
        std::fs::create_dir_all(production.database().parent().unwrap()).unwrap();
        production
    }

    /// Puts files below the root.
    pub fn put_files(&self, files: &[(String, Vec<u8>)]) {
        for (path, bytes) in files {
            let path = self.root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.root.join("srv/orders.db")
    }

    /// A day's work.
    pub fn add_rows(&self, rows: u32) {
        let mut connection = rusqlite::Connection::open(self.database()).unwrap();
        let transaction = connection.transaction().unwrap();
        let table = "create table if not exists orders (id integer primary key, amount integer, note text)";
        transaction.execute_batch(table).unwrap();
        for row in 0..rows {
            let order = "insert into orders (amount, note) values (?1, hex(randomblob(100)))";
            transaction.execute(order, [row]).unwrap();
        }
        transaction.commit().unwrap();
    }

    /// Does a day's work and takes a backup.
    pub fn back_up(&self, kind: Kind) -> BackupId {
        self.add_rows(1);
        let output = Command::new(program::built())
            .arg0("rekindle-agent")
            .args(&self.backup_arguments)
            .args(["--kind", kind.name()])
            .output()
            .unwrap();
        assert!(output.status.success(), "no backup: {}", String::from_utf8_lossy(&output.stderr));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        BackupId::parse(summary["backup_id"].as_str().unwrap()).unwrap()
    }
}
