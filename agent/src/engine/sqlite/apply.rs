//! Makes received data the database.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rekindle_step::StepError;

use super::changes;
use super::pages::{PageDigest, PageDigests, digest_of};
use crate::error::{file, refused, system};
use crate::files::{remove, sync_folder};

/// Stores standard input in a file, durably.
pub(super) fn receive(into: &Path) -> Result<(), StepError> {
    if let Some(folder) = into.parent() {
        fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
    }
    let mut output = File::create(into).map_err(|error| file("creating", into, error))?;
    io::copy(&mut io::stdin().lock(), &mut output)
        .and_then(|_| output.sync_all())
        .map_err(|error| system(format!("writing {} failed", into.display()), error))
}

/// Puts a received copy in the database's place in one step.
pub(super) fn replace(database: &Path, staged: &Path, position: &str) -> Result<(), StepError> {
    if PageDigests::of_file(staged)?.generation() != position {
        return Err(refused("the received database does not have the position of the set"));
    }
    // What waits beside the old database must not be read into the new one.
    for name in waiting(database) {
        remove(&name)?;
    }
    fs::rename(staged, database).map_err(|error| file("replacing", database, error))?;
    database.parent().map_or(Ok(()), sync_folder)
}

/// Applies received changes. Nothing is written before it is known that the result is the one that was signed.
pub(super) fn apply(database: &Path, received: &Path, from: &str, position: &str) -> Result<(), StepError> {
    refuse_waiting(database)?;
    let before = PageDigests::of_file(database)?;
    if before.generation() != from {
        return Err(refused("the database is not at the position that the changes begin at")
            .next_step("Destroy this instance and rebuild from the newest full set"));
    }
    let after = foretell(before, received)?;
    if after.generation() != position {
        return Err(refused("the changes do not lead to the position of the set"));
    }
    write_changes(database, received).map_err(|error| error.next_step("Start again from the image"))
}

fn foretell(before: PageDigests, received: &Path) -> Result<PageDigests, StepError> {
    let mut changed: BTreeMap<u64, PageDigest> = BTreeMap::new();
    let shape = changes::read(received, |_, index, page| {
        changed.insert(index, digest_of(page));
        Ok(())
    })?;
    let kept = if before.page_size == shape.page_size { before.digests } else { Vec::new() };
    let digests = (0..shape.page_count)
        .map(|index| {
            let kept = usize::try_from(index).ok().and_then(|index| kept.get(index));
            changed.get(&index).or(kept).copied()
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| refused("the changes leave out pages that the database does not have"))?;
    Ok(PageDigests { page_size: shape.page_size, digests })
}

fn write_changes(database: &Path, received: &Path) -> Result<(), StepError> {
    let writing = |error| file("writing the database", database, error);
    let target = File::options().write(true).open(database).map_err(writing)?;
    let shape = changes::read(received, |shape, index, page| {
        target.write_all_at(page, index * u64::from(shape.page_size)).map_err(writing)
    })?;
    target.set_len(shape.page_count * u64::from(shape.page_size)).map_err(writing)?;
    target.sync_all().map_err(writing)
}

/// Leaves the file alone in its folder: all that was committed is in it.
pub(super) fn seal(database: &Path) -> Result<(), StepError> {
    remove(&beside(database, ".rekindle-staged"))?;
    if !database.exists() {
        return Ok(());
    }
    // Opening and closing folds a write-ahead log, or rolls back what a crash left, if there is any.
    if waiting(database).iter().any(|name| name.exists()) {
        super::questions::fold(database)?;
    }
    refuse_waiting(database)
}

fn refuse_waiting(database: &Path) -> Result<(), StepError> {
    let holds_data = |name: &PathBuf| fs::metadata(name).is_ok_and(|found| found.len() > 0);
    let is_index = |name: &PathBuf| name.as_os_str().to_string_lossy().ends_with("-shm");
    match waiting(database).into_iter().find(|name| holds_data(name) && !is_index(name)) {
        None => Ok(()),
        Some(name) => Err(refused(format!("{} waits beside the database: it is in use", name.display()))
            .next_step("Stop whatever uses the database, and seal it again")),
    }
}

fn waiting(database: &Path) -> [PathBuf; 3] {
    ["-journal", "-wal", "-shm"].map(|suffix| beside(database, suffix))
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
