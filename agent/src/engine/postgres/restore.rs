//! Restores a dump beside the old database, and swaps the two.

use std::path::Path;

use rekindle_step::StepError;
use tokio::process::Command;

use super::connection::{execute, failed, literal, quoted};
use super::server::{Start, bin_dir, make_cluster, stop};
use super::{Address, Cluster, Log, Network, Purpose};
use crate::error::system;

/// The database that takes the dump.
const STAGING: &str = "rekindle_staging";
/// The database from which databases are made and renamed.
pub(super) const MAINTENANCE: &str = "template1";

pub(super) async fn prepare(address: &Address, cluster: &Cluster, log: &Log) -> Result<(), StepError> {
    make_cluster(cluster, &address.user).await?;
    start_for_restore(address, cluster, log).await?;
    let client = address.connect_to(MAINTENANCE).await?;
    let staging = quoted(STAGING);
    const DOING: &str = "making an empty database";
    execute(&client, DOING, &format!("DROP DATABASE IF EXISTS {staging} WITH (FORCE)")).await?;
    execute(&client, DOING, &format!("CREATE DATABASE {staging} TEMPLATE template0")).await
}

async fn start_for_restore(address: &Address, cluster: &Cluster, log: &Log) -> Result<(), StepError> {
    let start = Start {
        address: address.clone(),
        cluster: cluster.clone(),
        log: log.clone(),
        purpose: Purpose::Restore,
        network: Network::Loopback,
        hba_file: String::new(),
    };
    start.run().await
}

/// One transaction: with a minimal write-ahead log, tables that are made and filled in it are written once.
pub(super) async fn receive(address: &Address, bin: &str) -> Result<(), StepError> {
    let status = Command::new(bin_dir(bin)?.join("pg_restore"))
        .args(["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--no-password"])
        .arg(format!("--host={}", address.socket_dir.display()))
        .arg(format!("--port={}", address.port))
        .arg(format!("--username={}", address.user))
        .arg(format!("--dbname={STAGING}"))
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| system("starting pg_restore failed", error))?;
    if status.success() { Ok(()) } else { Err(failed(format!("pg_restore ended with {status}"))) }
}

pub(super) async fn switch(
    address: &Address,
    cluster: &Cluster,
    log: &Log,
    position: &str,
) -> Result<(), StepError> {
    start_for_restore(address, cluster, log).await?;
    mark_and_freeze(address, position).await?;
    let client = address.connect_to(MAINTENANCE).await?;
    let (staging, database) = (quoted(STAGING), quoted(&address.database));
    const DOING: &str = "swapping the databases";
    execute(&client, DOING, &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
    execute(&client, DOING, &format!("ALTER DATABASE {staging} RENAME TO {database}")).await?;
    execute(&client, "writing everything to the disk", "CHECKPOINT").await?;
    drop(client);
    stop(cluster).await?;
    make_durable(&cluster.data_dir)
}

/// Frozen and analysed now, the first reads after a disaster do not have to write.
async fn mark_and_freeze(address: &Address, position: &str) -> Result<(), StepError> {
    let client = address.connect_to(STAGING).await?;
    let position = literal(position);
    let marker = format!(
        "BEGIN; DROP TABLE IF EXISTS public.dr_restored; CREATE TABLE public.dr_restored (position text NOT NULL); \
         INSERT INTO public.dr_restored VALUES ({position}); COMMIT"
    );
    execute(&client, "marking the restored database", &marker).await?;
    execute(&client, "freezing the restored database", "VACUUM (FREEZE, ANALYZE)").await
}

/// The server ran without durability, so its files may still be in memory.
fn make_durable(data_dir: &Path) -> Result<(), StepError> {
    let folder = std::fs::File::open(data_dir)
        .map_err(|error| system(format!("opening {} failed", data_dir.display()), error))?;
    rustix::fs::syncfs(&folder).map_err(|error| system("writing everything to the disk failed", error.into()))
}
