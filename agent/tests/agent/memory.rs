//! A restore needs no more memory for a large backup than for a small one.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rekindle_domain::JobWork;
use rekindle_domain::job::JobOutcome;

use crate::serving::{Shared, listen};
use crate::world::{AGENT, World, job};

const MEBIBYTE: u64 = 1024 * 1024;

/// How much of a backup the agent holds at a time, in ranges of 4 MiB: four under way, one that is hashed, two that wait
/// for the decoder, and one that it reads from (`agent/src/transfer/fetch.rs`, and the channel in
/// `agent/src/jobs/transfer_and_restore.rs`).
const WINDOW_BYTES: u64 = (4 + 1 + 2 + 1) * 4 * MEBIBYTE;

/// Fills the window, so that what a larger one needs besides is not the window.
const SMALL_MEBIBYTES: u32 = 32;
/// Eight windows: holding all of it, or a fixed part of it, is noticed.
const LARGE_MEBIBYTES: u32 = 256;

/// As large as four ranges.
const OBJECT_MEBIBYTES: u32 = 16;

const DATA_STORE: &str = r#"
    [[data_stores]]
    name = "scans"
    recipe = "sqlite"
    params = { database = "ROOT/srv/orders.db" }
    probes = [{ name = "count", query = "SELECT count(*) FROM scans" }]
    "#;

/// An agent in a process of its own, as instances have it.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Agent {
    fn start(root: &Path, socket: &Path) -> Self {
        let mut command = Command::new(AGENT);
        command.arg("--root").arg(root).arg("run").arg("--socket").arg(socket);
        // glibc keeps freed ranges for each thread when it may choose, as many as it happens to. With a fixed threshold
        // they go back at once, and what is measured is what the agent holds.
        command.env("MALLOC_MMAP_THRESHOLD_", "131072");
        Self(command.spawn().unwrap())
    }

    /// The most that it ever held. It only grows, so it does not matter when it is read.
    fn peak_resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// Bytes that nothing compresses.
fn fill_with_noise(database: &Path, mebibytes: u32) {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE scans (bytes BLOB); BEGIN",
        )
        .unwrap();
    for _ in 0..mebibytes {
        connection.execute("INSERT INTO scans VALUES (randomblob(1048576))", []).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// What the agent's process needs at most to restore a backup of this size.
async fn peak_of_restoring(mebibytes: u32) -> u64 {
    let world = World::with_objects_of(OBJECT_MEBIBYTES, DATA_STORE);
    fill_with_noise(&world.database(&world.production()), mebibytes);
    let full = world.backup_id("full");
    let stored = world.set(&full).await.stored_bytes().0;
    assert!(stored >= u64::from(mebibytes) * MEBIBYTE, "the backup has {stored} bytes only");
    let builder = world.builder("builder");
    let orchestrator = Shared::default();
    let restore = job(JobWork::TransferAndRestore { sets: vec![full], applied: None });
    orchestrator.lock().unwrap().jobs.push_back(restore);
    let mut agent = Agent::start(builder.places.root(), &listen(&world, &orchestrator));
    while orchestrator.lock().unwrap().outcomes.is_empty() {
        assert_eq!(agent.0.try_wait().unwrap(), None, "the agent has ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let outcome = orchestrator.lock().unwrap().outcomes.remove(0).1;
    assert!(matches!(outcome, JobOutcome::Succeeded { .. }), "{outcome:?}");
    agent.peak_resident_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_restore_needs_no_more_memory_than_a_small_one() {
    let small = peak_of_restoring(SMALL_MEBIBYTES).await;
    let large = peak_of_restoring(LARGE_MEBIBYTES).await;
    let figures = format!("{} MiB and {} MiB", small / MEBIBYTE, large / MEBIBYTE);
    assert!(large <= small + WINDOW_BYTES, "{figures}");
}
