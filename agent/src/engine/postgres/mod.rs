//! PostgreSQL by logical dumps: restored into a fresh database beside the old one, then swapped in by name.
//!
//! The position of a dump is the write-ahead log's at its snapshot. A dump does not carry it, so the restore leaves it
//! in a table `dr_restored` inside the database that is swapped in: only the database of this very set has it.

mod connection;
mod dump;
mod questions;
mod restore;
mod server;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use rekindle_step::StepError;

use super::answer;

/// Helper commands of the recipe `postgres-dump`.
#[derive(Debug, Subcommand)]
pub enum PostgresCommand {
    /// Write the heartbeat row, made with its table where it is missing.
    Heartbeat {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
    },
    /// Stream a dump of one snapshot, and record what the probes answer in the same snapshot.
    Dump {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
        /// Where the server's programs are.
        #[arg(long, default_value = "")]
        bin_dir: String,
        /// The probes, as JSON.
        #[arg(long)]
        probes: PathBuf,
        /// Where to write what the dump is.
        #[arg(long)]
        report: PathBuf,
    },
    /// Make the server ready for a restore: a cluster, started for speed, and an empty database beside the old one.
    Prepare {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
        /// The server's files.
        #[command(flatten)]
        cluster: Cluster,
        /// Where the server logs.
        #[command(flatten)]
        log: Log,
    },
    /// Restore a dump from standard input into the prepared database.
    Receive {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
        /// Where the server's programs are.
        #[arg(long, default_value = "")]
        bin_dir: String,
    },
    /// Put the prepared database in the old one's place, and stop the server with everything on the disk.
    Switch {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
        /// The server's files.
        #[command(flatten)]
        cluster: Cluster,
        /// Where the server logs.
        #[command(flatten)]
        log: Log,
        /// The position of the set.
        #[arg(long)]
        position: String,
    },
    /// Start the server, or start it anew where it runs for another purpose.
    Start {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
        /// The server's files.
        #[command(flatten)]
        cluster: Cluster,
        /// Where the server logs.
        #[command(flatten)]
        log: Log,
        /// What for.
        #[arg(long)]
        purpose: Purpose,
        /// Who reaches it over the network when it serves.
        #[arg(long, default_value = "loopback")]
        network: Network,
        /// Says who may enter; the cluster's own file where it is empty.
        #[arg(long, default_value = "")]
        hba_file: String,
        /// Make the cluster and the database where they are missing.
        #[arg(long)]
        create: bool,
    },
    /// Stop the server cleanly, if it runs.
    Stop {
        /// The server's files.
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Show the position that the last restore left.
    Position {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
    },
    /// Show the heartbeat row as JSON.
    ReadHeartbeat {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
    },
    /// Show the answer to one query that only reads.
    Probe {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
        /// The query.
        #[arg(long)]
        query: String,
    },
    /// Ask for damaged pages and unusable indexes.
    Check {
        /// Where the server answers.
        #[command(flatten)]
        address: Address,
    },
}

/// Where a server answers, and which database is meant.
#[derive(Debug, Clone, Args)]
pub struct Address {
    /// The folder of the server's Unix socket.
    #[arg(long)]
    socket_dir: PathBuf,
    /// The port, which is part of the socket's name.
    #[arg(long, default_value_t = 5432)]
    port: u16,
    /// The role.
    #[arg(long, default_value = "postgres")]
    user: String,
    /// The database.
    #[arg(long)]
    database: String,
}

/// A server's files.
#[derive(Debug, Clone, Args)]
pub struct Cluster {
    /// Where the server's programs are; empty to find them.
    #[arg(long, default_value = "")]
    bin_dir: String,
    /// Where the data is.
    #[arg(long)]
    data_dir: PathBuf,
    /// The user that the server believes to be, since it refuses to be root: `postgres` where there is one.
    #[arg(long)]
    run_as: Option<u32>,
}

/// Where a server logs.
#[derive(Debug, Clone, Args)]
pub struct Log {
    /// The file.
    #[arg(long)]
    log_file: PathBuf,
}

/// What a server is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    /// Fast and without durability: everything is written to the disk before the image is made.
    Restore,
    /// Reading only, reached through the Unix socket alone.
    Verify,
    /// Serving.
    Serve,
}

/// Who reaches a server that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// Programs of the same instance.
    Loopback,
    /// Everybody whom the cluster's `pg_hba.conf` lets in.
    All,
}

/// Does what a recipe asks.
///
/// # Errors
/// When it cannot be done; the sentence is made for reports.
pub async fn run(command: PostgresCommand) -> Result<(), StepError> {
    match command {
        PostgresCommand::Heartbeat { address } => questions::write_heartbeat(&address).await,
        PostgresCommand::Dump { address, bin_dir, probes, report } => {
            dump::run(&address, &bin_dir, &probes, &report).await
        }
        PostgresCommand::Prepare { address, cluster, log } => {
            restore::prepare(&address, &cluster, &log).await
        }
        PostgresCommand::Receive { address, bin_dir } => restore::receive(&address, &bin_dir).await,
        PostgresCommand::Switch { address, cluster, log, position } => {
            restore::switch(&address, &cluster, &log, &position).await
        }
        PostgresCommand::Start { address, cluster, log, purpose, network, hba_file, create } => {
            let start = server::Start { address, cluster, log, purpose, network, hba_file };
            if create { start.with_database().await } else { start.run().await }
        }
        PostgresCommand::Stop { cluster } => server::stop(&cluster).await,
        PostgresCommand::Position { address } => answer(&questions::position(&address).await?),
        PostgresCommand::ReadHeartbeat { address } => questions::read_heartbeat(&address).await,
        PostgresCommand::Probe { address, query } => questions::probe(&address, &query).await,
        PostgresCommand::Check { address } => questions::check(&address).await,
    }
}
