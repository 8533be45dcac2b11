//! SQLite: full copies by the online backup, increments of the pages that changed.
//!
//! The position of a database is its *generation*: a digest over the digests of all its pages. An increment applies
//! to exactly one generation and gives exactly one; both are checked before a page is written.

mod apply;
mod backup;
mod changes;
mod pages;
mod questions;

use std::path::PathBuf;

use clap::Subcommand;
use rekindle_step::StepError;

use super::{CheckPhase, answer};

/// Helper commands of the recipe `sqlite`.
#[derive(Debug, Subcommand)]
pub enum SqliteCommand {
    /// Write the heartbeat row, made with its table where it is missing.
    Heartbeat {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
    },
    /// Copy the database and stream the copy, or what changed since the parent set.
    Backup {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
        /// An empty folder for the copy.
        #[arg(long)]
        staging: PathBuf,
        /// The probes, as JSON.
        #[arg(long)]
        probes: PathBuf,
        /// Where to write what the copy is.
        #[arg(long)]
        report: PathBuf,
        /// A folder for what the next increment needs.
        #[arg(long)]
        next_state: PathBuf,
        /// The folder that the parent set left; without it everything is streamed.
        #[arg(long)]
        parent_state: Option<PathBuf>,
    },
    /// Store standard input in a file, durably.
    Receive {
        /// The file.
        #[arg(long)]
        into: PathBuf,
    },
    /// Put a received copy in the database's place, if it has the position.
    Replace {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
        /// The received copy.
        #[arg(long)]
        staged: PathBuf,
        /// The position that the copy must have.
        #[arg(long)]
        position: String,
    },
    /// Apply received changes to the database, if it has the position that they begin at.
    Apply {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
        /// The received changes.
        #[arg(long)]
        changes: PathBuf,
        /// The position that the database must have.
        #[arg(long)]
        from_position: String,
        /// The position that it must have afterwards.
        #[arg(long)]
        position: String,
    },
    /// Show the database's position.
    Position {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
    },
    /// Show the heartbeat row as JSON.
    ReadHeartbeat {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
        /// Where this runs.
        #[arg(long)]
        phase: CheckPhase,
    },
    /// Show the answer to one query that only reads.
    Probe {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
        /// Where this runs.
        #[arg(long)]
        phase: CheckPhase,
        /// The query.
        #[arg(long)]
        query: String,
    },
    /// Let SQLite check its file.
    Check {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
    },
    /// Remove what a restore staged, and make sure that nothing waits beside the database.
    Seal {
        /// The database file.
        #[arg(long)]
        database: PathBuf,
    },
}

/// Does what a recipe asks.
///
/// # Errors
/// When it cannot be done; the sentence is made for reports.
pub fn run(command: SqliteCommand) -> Result<(), StepError> {
    match command {
        SqliteCommand::Heartbeat { database } => questions::write_heartbeat(&database),
        SqliteCommand::Backup { database, staging, probes, report, next_state, parent_state } => {
            backup::run(&backup::Request { database, staging, probes, report, next_state, parent_state })
        }
        SqliteCommand::Receive { into } => apply::receive(&into),
        SqliteCommand::Replace { database, staged, position } => {
            apply::replace(&database, &staged, &position)
        }
        SqliteCommand::Apply { database, changes, from_position, position } => {
            apply::apply(&database, &changes, &from_position, &position)
        }
        SqliteCommand::Position { database } => answer(&pages::PageDigests::of_file(&database)?.generation()),
        SqliteCommand::ReadHeartbeat { database, phase } => questions::read_heartbeat(&database, phase),
        SqliteCommand::Probe { database, phase, query } => questions::probe(&database, phase, &query),
        SqliteCommand::Check { database } => questions::check(&database),
        SqliteCommand::Seal { database } => apply::seal(&database),
    }
}
