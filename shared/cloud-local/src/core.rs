//! What all operations of a cloud share.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rekindle_cloud::CloudError;
use rekindle_domain::ImageId;

use crate::directories::StateDirectory;
use crate::error::{refused, sentence};
use crate::image::record::Progress;
use crate::image::{copy, ready};
use crate::network::Network;
use crate::options::LocalCloudOptions;
use crate::probe::probe;
use crate::reconcile::reconcile;
use crate::records::Records;

/// A cloud that is open.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) options: LocalCloudOptions,
    pub(crate) state: StateDirectory,
    pub(crate) network: Network,
    /// Whether files can share their blocks here.
    pub(crate) share_blocks: bool,
    /// Nothing is begun any more, and what was begun stops.
    pub(crate) closing: AtomicBool,
    /// One base image at a time.
    pub(crate) building: Mutex<()>,
    /// One ready copy at a time, so that a recovery does not compete with many.
    pub(crate) copying: Mutex<()>,
    records: Mutex<Records>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// Held while this cloud is open.
    _lock: File,
}

impl Core {
    /// Takes the state directory and brings it in order.
    pub(crate) fn open(options: LocalCloudOptions) -> Result<Arc<Self>, CloudError> {
        let state = StateDirectory::prepare(&options.state_directory)?;
        let lock = state.lock()?;
        let records = reconcile(&state)?;
        let network = Network::start(&options.helper_command, &state).map_err(explain_with_probe)?;
        let core = Arc::new(Self {
            share_blocks: copy::can_share_blocks(state.path()),
            options,
            state,
            network,
            closing: AtomicBool::new(false),
            building: Mutex::default(),
            copying: Mutex::default(),
            records: Mutex::new(records),
            workers: Mutex::default(),
            _lock: lock,
        });
        core.replenish_all();
        Ok(core)
    }

    /// What is known. Not to be held while anything slow is done.
    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that nobody waits for; it is waited for when the cloud is closed.
    pub(crate) fn in_background(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) {
        let core = Arc::clone(self);
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|worker| !worker.is_finished());
        match thread::Builder::new().name(name.to_owned()).spawn(move || work(&core)) {
            Ok(worker) => workers.push(worker),
            // It is made up for when the cloud is opened again.
            Err(error) => tracing::warn!(%error, name, "no thread could be started"),
        }
    }

    fn replenish_all(self: &Arc<Self>) {
        if self.share_blocks {
            return;
        }
        let lacking: Vec<ImageId> = self
            .records()
            .images
            .iter()
            .filter(|(id, entry)| {
                entry.record.progress == Progress::Available && !self.state.image(id).ready().exists()
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in lacking {
            ready::replenish(self, &id);
        }
    }

    /// Ends everything that runs, and waits until it has ended.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.stop_instances();
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for worker in workers {
            drop(worker.join());
        }
        self.network.end();
    }

    fn stop_instances(&self) {
        let mut records = self.records();
        records.closed = true;
        for image in records.images.values() {
            image.abandoned.store(true, Ordering::Relaxed);
        }
        for running in records.instances.values().filter_map(|entry| entry.running.as_ref()) {
            running.kill();
        }
        for entry in records.instances.values_mut() {
            if let Some(mut running) = entry.running.take() {
                running.end();
                entry.stopped(&self.state);
            }
        }
    }
}

/// Says what the machine lacks, where that is the reason.
fn explain_with_probe(error: CloudError) -> CloudError {
    match probe() {
        Ok(()) => error,
        Err(unsupported) => refused(format!("{unsupported} ({})", sentence(&error))),
    }
}
