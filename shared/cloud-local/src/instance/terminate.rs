//! The end of an instance: its processes, its disk, and what is remembered of it.

use std::sync::{Arc, PoisonError};

use rekindle_cloud::CloudError;
use rekindle_domain::InstanceId;

use crate::core::Core;
use crate::directories::remove_tree;
use crate::durable::write_json;
use crate::error::Explain as _;
use crate::instance::record::{InstanceRecord, Progress};

/// Destroys an instance. One that is unknown or terminated is success.
pub(crate) fn terminate(core: &Core, id: &InstanceId) -> Result<(), CloudError> {
    let Some(turn) = core.records().instances.get(id).map(|entry| Arc::clone(&entry.turn)) else {
        return Ok(());
    };
    let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
    end_processes(core, id)?;
    let Some(record) = core.records().instances.get(id).map(|entry| entry.record.clone()) else {
        return Ok(());
    };
    let terminated = InstanceRecord { progress: Progress::Terminated, ..record };
    write_json(&core.state.tombstone(id), &terminated)
        .explain(|| format!("it cannot be written down that {id} is terminated"))?;
    remove_folder(core, id)?;
    core.records().terminated.insert(id.clone(), terminated);
    Ok(())
}

/// Removes what there is of an instance whose launch has failed; its token may be used again.
pub(crate) fn give_up(core: &Core, id: &InstanceId) {
    let removed = end_processes(core, id).and_then(|()| remove_folder(core, id));
    if let Err(error) = removed {
        // It stays known as a folder of its run, until somebody removes it.
        tracing::warn!(%error, instance = %id, "a failed launch has left something");
    }
}

fn end_processes(core: &Core, id: &InstanceId) -> Result<(), CloudError> {
    let running = {
        let mut records = core.records();
        let Some(entry) = records.instances.get_mut(id) else { return Ok(()) };
        entry.advance(&core.state, Progress::Removing)?;
        entry.running.take()
    };
    if let Some(mut running) = running {
        running.end();
    }
    Ok(())
}

fn remove_folder(core: &Core, id: &InstanceId) -> Result<(), CloudError> {
    let folder = core.state.instance(id);
    remove_tree(folder.path()).explain(|| format!("{} cannot be removed", folder.path().display()))?;
    core.records().instances.remove(id);
    Ok(())
}
