//! What a database is asked, and the heartbeat row.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rekindle_domain::backup_set::Heartbeat;
use rekindle_step::{ErrorName, StepError};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::engine::{CheckPhase, answer, answer_json, escaped, now};

const BUSY: Duration = Duration::from_secs(30);

/// Writes the heartbeat row right before a backup.
pub(super) fn write_heartbeat(database: &Path) -> Result<(), StepError> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|error| asking("opening the database", error))?;
    connection.busy_timeout(BUSY).map_err(|error| asking("opening the database", error))?;
    let writing = |error| asking("writing the heartbeat", error);
    let statements =
        "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS dr_heartbeat (seq INTEGER NOT NULL, ts TEXT NOT NULL)";
    connection.execute_batch(statements).map_err(writing)?;
    let next: i64 = connection
        .query_row("SELECT coalesce(max(seq), 0) + 1 FROM dr_heartbeat", [], |row| row.get(0))
        .map_err(writing)?;
    let heartbeat = Heartbeat { sequence: u64::try_from(next).unwrap_or(0), at: now() };
    connection.execute("DELETE FROM dr_heartbeat", []).map_err(writing)?;
    connection
        .execute("INSERT INTO dr_heartbeat (seq, ts) VALUES (?1, ?2)", (next, heartbeat.at.to_string()))
        .map_err(writing)?;
    connection.execute_batch("COMMIT").map_err(writing)?;
    answer_json(&heartbeat)
}

pub(super) fn read_heartbeat(database: &Path, phase: CheckPhase) -> Result<(), StepError> {
    answer_json(&heartbeat_of(&open(database, phase)?)?)
}

pub(super) fn heartbeat_of(connection: &Connection) -> Result<Heartbeat, StepError> {
    let row = connection.query_row("SELECT seq, ts FROM dr_heartbeat ORDER BY seq DESC LIMIT 1", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    });
    let (sequence, at) = row.map_err(|error| asking("reading the heartbeat", error))?;
    let sequence = u64::try_from(sequence).ok();
    match (sequence, at.parse::<Timestamp>()) {
        (Some(sequence), Ok(at)) => Ok(Heartbeat { sequence, at }),
        _ => Err(failed("the heartbeat row is not one that the agent wrote")),
    }
}

pub(super) fn probe(database: &Path, phase: CheckPhase, query: &str) -> Result<(), StepError> {
    answer(&ask(&open(database, phase)?, query)?)
}

/// The canonical answer: cells by tabulators, rows by line ends. The query must only read.
pub(super) fn ask(connection: &Connection, query: &str) -> Result<String, StepError> {
    // What a query's error says may quote the data: the code is enough.
    let asking = |error: rusqlite::Error| match error.sqlite_error() {
        Some(code) => failed(format!("a probe failed with the SQLite error {}", code.extended_code)),
        None => failed("a probe cannot be asked"),
    };
    let mut statement = connection.prepare(query).map_err(asking)?;
    if !statement.readonly() {
        return Err(failed("a probe does not only read").next_step("Write probes as SELECT statements"));
    }
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(asking)?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next().map_err(asking)? {
        let cells: Result<Vec<String>, _> =
            (0..columns).map(|index| row.get_ref(index).map(canonical)).collect();
        lines.push(cells.map_err(asking)?.join("\t"));
    }
    Ok(lines.join("\n"))
}

fn canonical(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "\\N".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) => escaped(&String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => format!("\\x{}", hex::encode(bytes)),
    }
}

/// SQLite's own check of the file.
pub(super) fn check(database: &Path) -> Result<(), StepError> {
    let connection = open(database, CheckPhase::Verify)?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| asking("checking the database", error))?;
    if verdict == "ok" { Ok(()) } else { Err(failed("SQLite finds the database file damaged")) }
}

/// Lets SQLite fold what waits beside the file into it.
pub(super) fn fold(database: &Path) -> Result<(), StepError> {
    let folding = |error| asking("closing the database", error);
    let connection =
        Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(folding)?;
    connection.busy_timeout(BUSY).map_err(folding)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(folding)?;
    connection.close().map_err(|(_, error)| folding(error))
}

/// Opens for reading. In a builder not a byte beside or inside the file changes.
pub(super) fn open(database: &Path, phase: CheckPhase) -> Result<Connection, StepError> {
    let suffix = match phase {
        CheckPhase::Verify => "?immutable=1",
        CheckPhase::Serving => "?mode=ro",
    };
    let name = format!("file:{}{suffix}", uri_path(database));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection =
        Connection::open_with_flags(name, flags).map_err(|error| asking("opening the database", error))?;
    connection.busy_timeout(BUSY).map_err(|error| asking("opening the database", error))?;
    Ok(connection)
}

fn uri_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_');
    let encode = |b: &u8| if plain(*b) { char::from(*b).to_string() } else { format!("%{b:02X}") };
    path.as_os_str().as_bytes().iter().map(encode).collect()
}

fn asking(what: &str, error: rusqlite::Error) -> StepError {
    failed(format!("{what} failed")).because(error)
}

fn failed(what: impl Into<String>) -> StepError {
    StepError::new(ErrorName::RecipeFailed, what)
}
