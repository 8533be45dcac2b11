//! Streams a dump of one snapshot.

use std::path::Path;

use rekindle_step::StepError;
use tokio::process::Command;

use super::Address;
use super::connection::{execute, failed, row};
use super::questions::{ask, heartbeat_of};
use super::server::bin_dir;
use crate::engine::{BackupReport, read_probes, write_report};
use crate::error::system;

/// The probes are asked, and the dump is taken, in the one snapshot that this transaction exports.
pub(super) async fn run(address: &Address, bin: &str, probes: &Path, report: &Path) -> Result<(), StepError> {
    const DOING: &str = "taking the snapshot";
    let bin = bin_dir(bin)?;
    let client = address.connect().await?;
    execute(&client, DOING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let query = "SELECT pg_export_snapshot(), \
                 CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, \
                 current_setting('server_version')";
    let cells = row(&client, DOING, query).await?;
    let [snapshot, position, version] = cells.as_slice() else {
        return Err(failed("the server gave no snapshot"));
    };
    let heartbeat = heartbeat_of(&client).await?;
    let mut answers = Vec::new();
    for probe in read_probes(probes)? {
        let answer = ask(&client, &probe.query).await?;
        answers.push((probe, answer));
    }
    stream(address, &bin, snapshot).await?;
    execute(&client, "ending the snapshot", "COMMIT").await?;
    let described = BackupReport {
        position: position.clone(),
        from_position: None,
        engine_version: version.clone(),
        heartbeat,
        answers,
    };
    write_report(report, &described)
}

async fn stream(address: &Address, bin: &Path, snapshot: &str) -> Result<(), StepError> {
    let status = Command::new(bin.join("pg_dump"))
        .args(["--format=custom", "--compress=0", "--no-password", "--exclude-table=public.dr_restored"])
        .arg(format!("--snapshot={snapshot}"))
        .arg(format!("--host={}", address.socket_dir.display()))
        .arg(format!("--port={}", address.port))
        .arg(format!("--username={}", address.user))
        .arg(format!("--dbname={}", address.database))
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| system("starting pg_dump failed", error))?;
    if status.success() { Ok(()) } else { Err(failed(format!("pg_dump ended with {status}"))) }
}
