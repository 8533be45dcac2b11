//! Copies a live database and streams the copy, or what changed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle_step::{ErrorName, StepError};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::pages::PageDigests;
use super::{changes, questions};
use crate::engine::{BackupReport, CheckPhase, read_probes, write_report};
use crate::error::{file, system};
use crate::files::remove;

const PAGES_FILE: &str = "pages";
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
const MOST_TRIES: u32 = 1200;

pub(super) struct Request {
    pub(super) database: PathBuf,
    pub(super) staging: PathBuf,
    pub(super) probes: PathBuf,
    pub(super) report: PathBuf,
    pub(super) next_state: PathBuf,
    pub(super) parent_state: Option<PathBuf>,
}

pub(super) fn run(request: &Request) -> Result<(), StepError> {
    let parent = request.parent_state.as_deref().map(|folder| PageDigests::read(&folder.join(PAGES_FILE)));
    let parent = parent.transpose()?;
    let copy = request.staging.join("copy.db");
    copy_database(&request.database, &copy)?;
    let pages = PageDigests::of_file(&copy)?;
    let report = report(request, &copy, &pages, parent.as_ref())?;
    stream(&copy, &pages, parent.as_ref())?;
    pages.write(&request.next_state.join(PAGES_FILE))?;
    write_report(&request.report, &report)?;
    remove(&copy)
}

#[expect(clippy::disallowed_methods, reason = "a helper process has one thread, and nothing else to do")]
fn pause() {
    std::thread::sleep(BETWEEN_TRIES);
}

/// One consistent copy: the online backup in a single step, during which readers and, with a write-ahead log, writers
/// go on.
fn copy_database(database: &Path, copy: &Path) -> Result<(), StepError> {
    let source = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|error| copying(database, error))?;
    let mut target = Connection::open(copy).map_err(|error| copying(database, error))?;
    // The copy is read once and thrown away; a crash leaves nothing that anybody would use.
    target.execute_batch("PRAGMA synchronous = OFF").map_err(|error| copying(database, error))?;
    let backup = Backup::new(&source, &mut target).map_err(|error| copying(database, error))?;
    for _ in 0..MOST_TRIES {
        match backup.step(-1).map_err(|error| copying(database, error))? {
            StepResult::Done => return Ok(()),
            _ => pause(),
        }
    }
    Err(StepError::new(
        ErrorName::RecipeFailed,
        format!("{} stayed locked by its writers for {} s", database.display(), MOST_TRIES / 20),
    )
    .next_step("Shorten the write transactions, or use a write-ahead log"))
}

fn copying(database: &Path, error: rusqlite::Error) -> StepError {
    StepError::new(ErrorName::RecipeFailed, format!("copying {} failed", database.display())).because(error)
}

fn report(
    request: &Request,
    copy: &Path,
    pages: &PageDigests,
    parent: Option<&PageDigests>,
) -> Result<BackupReport, StepError> {
    let connection = questions::open(copy, CheckPhase::Verify)?;
    let answers = read_probes(&request.probes)?
        .into_iter()
        .map(|probe| questions::ask(&connection, &probe.query).map(|answer| (probe, answer)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(BackupReport {
        position: pages.generation(),
        from_position: parent.map(PageDigests::generation),
        engine_version: rusqlite::version().to_owned(),
        heartbeat: questions::heartbeat_of(&connection)?,
        answers,
    })
}

fn stream(copy: &Path, pages: &PageDigests, parent: Option<&PageDigests>) -> Result<(), StepError> {
    let mut output = BufWriter::with_capacity(1024 * 1024, io::stdout().lock());
    match parent {
        Some(parent) => changes::write(copy, parent, pages, &mut output)?,
        None => {
            let mut source = File::open(copy).map_err(|error| file("opening", copy, error))?;
            io::copy(&mut source, &mut output).map_err(|error| system("streaming the copy failed", error))?;
        }
    }
    output.flush().map_err(|error| system("streaming failed", error))
}
