//! What a cloud does when it is opened: finds out what there is, and finishes or undoes what was begun.
//!
//! Nothing is assumed of the process that was there before: it may have ended at any point.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rekindle_cloud::CloudError;
use rekindle_domain::{ImageId, InstanceId};
use rustix::fs::{FlockOperation, flock};

use crate::directories::{InstanceDirectory, StateDirectory, missing_is_fine, remove_tree};
use crate::durable::{read_json, write_json};
use crate::error::Explain as _;
use crate::image::record::{self as image, ImageRecord};
use crate::init::process::ProcessName;
use crate::instance::record::{InstanceRecord, Progress};
use crate::records::{ImageEntry, InstanceEntry, Records};

/// How long the processes of an earlier owner may take to end: they are killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a terminated instance is remembered.
const MEMORY: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// Brings the state directory in order and reads it.
pub(crate) fn reconcile(state: &StateDirectory) -> Result<Records, CloudError> {
    let mut records = Records::default();
    let instances: Vec<InstanceId> = names(state.instances())?;
    for id in &instances {
        wait_for_end(&state.instance(id))
            .explain(|| format!("the processes of instance {id}, of an earlier owner, cannot be ended"))?;
    }
    read_terminated(state, &mut records)?;
    // Images first: one that was being made gives its tree back.
    for id in names::<ImageId>(state.images())? {
        reconcile_image(state, &id, &mut records)?;
    }
    for id in instances {
        reconcile_instance(state, id, &mut records)?;
    }
    Ok(records)
}

/// Entries whose names are ids; anything else is not ours.
fn names<T: std::str::FromStr>(folder: PathBuf) -> Result<Vec<T>, CloudError> {
    let what = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).explain(what)? {
        let name = entry.explain(what)?.file_name();
        found.extend(name.to_str().and_then(|name| name.trim_end_matches(".json").parse().ok()));
    }
    Ok(found)
}

/// The lock is free when both processes of the instance have ended, and with them everything inside.
#[expect(
    clippy::disallowed_methods,
    reason = "on a thread where blocking is allowed, before anything can run"
)]
fn wait_for_end(instance: &InstanceDirectory) -> io::Result<()> {
    let file = match File::open(instance.processes()) {
        Ok(file) => file,
        Err(error) => return missing_is_fine(Err(error)),
    };
    let until = Instant::now() + PATIENCE;
    loop {
        let free = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        for process in fs::read_to_string(instance.processes())?.lines().filter_map(ProcessName::parse) {
            if let Some(hold) = process.hold() {
                hold.kill();
                hold.wait(until.saturating_duration_since(Instant::now()));
            }
        }
        if free {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn read_terminated(state: &StateDirectory, records: &mut Records) -> Result<(), CloudError> {
    let oldest = jiff::Timestamp::now() - MEMORY;
    for id in names::<InstanceId>(state.terminated())? {
        let path = state.tombstone(&id);
        let record: Option<InstanceRecord> =
            read_json(&path).explain(|| format!("cannot read {}", path.display()))?;
        match record {
            Some(record) if record.changed_at >= oldest || state.instance(&id).path().exists() => {
                records.terminated.insert(id, record);
            }
            // Forgotten later if not now.
            _ => drop(fs::remove_file(&path)),
        }
    }
    Ok(())
}

fn reconcile_image(state: &StateDirectory, id: &ImageId, records: &mut Records) -> Result<(), CloudError> {
    let folder = state.image(id);
    let record: Option<ImageRecord> =
        read_json(&folder.record()).explain(|| format!("cannot read {}", folder.record().display()))?;
    let keep = match &record {
        Some(record) if record.progress == image::Progress::Making => {
            give_tree_back(state, record)?;
            false
        }
        Some(record) => record.progress != image::Progress::Removing,
        None => false,
    };
    if keep {
        remove_tree(&folder.unfinished())
            .explain(|| format!("{} cannot be removed", folder.unfinished().display()))?;
        records.images.extend(record.map(|record| (id.clone(), ImageEntry::new(record))));
        return Ok(());
    }
    if let Err(error) = remove_tree(folder.path()) {
        tracing::warn!(%error, image = %id, "a half-made image cannot be removed");
        // It stays known as a folder of its run.
        let removing = record.map(|record| ImageRecord { progress: image::Progress::Removing, ..record });
        records.images.extend(removing.map(|record| (id.clone(), ImageEntry::new(record))));
    }
    Ok(())
}

fn give_tree_back(state: &StateDirectory, record: &ImageRecord) -> Result<(), CloudError> {
    let Some(instance) = record.made_from.as_ref().map(|id| state.instance(id)) else { return Ok(()) };
    let tree = state.image(&record.image_id).tree();
    if tree.exists() && instance.record().exists() && !instance.tree().exists() {
        fs::rename(&tree, instance.tree()).explain(|| format!("{} cannot be given back", tree.display()))?;
    }
    Ok(())
}

fn reconcile_instance(
    state: &StateDirectory,
    id: InstanceId,
    records: &mut Records,
) -> Result<(), CloudError> {
    let folder = state.instance(&id);
    let record: Option<InstanceRecord> =
        read_json(&folder.record()).explain(|| format!("cannot read {}", folder.record().display()))?;
    let Some(record) = record else {
        // It was not even written down what it is to be.
        return remove_tree(folder.path())
            .explain(|| format!("{} cannot be removed", folder.path().display()));
    };
    let mut entry = InstanceEntry { record, running: None, turn: Default::default() };
    let terminated = records.terminated.contains_key(&id);
    match entry.record.progress {
        Progress::Running if !terminated => stop(state, &folder, &mut entry)?,
        Progress::Stopped if !terminated => {}
        Progress::Removing if !terminated => {
            bury(state, &entry.record, records)?;
            return remove(state, entry, records);
        }
        _ => return remove(state, entry, records),
    }
    records.instances.insert(id, entry);
    Ok(())
}

fn stop(
    state: &StateDirectory,
    folder: &InstanceDirectory,
    entry: &mut InstanceEntry,
) -> Result<(), CloudError> {
    remove_tree(&folder.run()).explain(|| format!("{} cannot be removed", folder.run().display()))?;
    entry.advance(state, Progress::Stopped)
}

fn bury(state: &StateDirectory, record: &InstanceRecord, records: &mut Records) -> Result<(), CloudError> {
    let terminated = InstanceRecord { progress: Progress::Terminated, ..record.clone() };
    write_json(&state.tombstone(&record.instance_id), &terminated)
        .explain(|| format!("it cannot be written down that {} is terminated", record.instance_id))?;
    records.terminated.insert(record.instance_id.clone(), terminated);
    Ok(())
}

fn remove(state: &StateDirectory, mut entry: InstanceEntry, records: &mut Records) -> Result<(), CloudError> {
    let id = entry.record.instance_id.clone();
    match remove_tree(state.instance(&id).path()) {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, instance = %id, "what is left of an instance cannot be removed");
            entry.record.progress = Progress::Removing;
            records.instances.insert(id, entry);
            Ok(())
        }
    }
}
