//! What a cloud knows: the same as on disk, which is written first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use rekindle_cloud::CloudError;
use rekindle_domain::{ImageId, InstanceId};

use crate::directories::StateDirectory;
use crate::durable::write_json;
use crate::error::Explain as _;
use crate::image::record::{self as image, ImageRecord};
use crate::instance::record::{self as instance, InstanceRecord};
use crate::instance::running::Running;
use crate::network::address::Segment;

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) instances: BTreeMap<InstanceId, InstanceEntry>,
    pub(crate) images: BTreeMap<ImageId, ImageEntry>,
    /// Instances that are no more: a token is never used twice.
    pub(crate) terminated: BTreeMap<InstanceId, InstanceRecord>,
    last_addresses: [u16; 2],
    /// Nothing is started any more.
    pub(crate) closed: bool,
}

/// An instance.
#[derive(Debug)]
pub(crate) struct InstanceEntry {
    pub(crate) record: InstanceRecord,
    /// Its processes, while they run.
    pub(crate) running: Option<Running>,
    /// Held by whoever is changing the instance.
    pub(crate) turn: Arc<Mutex<()>>,
}

impl InstanceEntry {
    /// Writes how far it has come.
    pub(crate) fn advance(
        &mut self,
        state: &StateDirectory,
        progress: instance::Progress,
    ) -> Result<(), CloudError> {
        let changed = InstanceRecord { progress, changed_at: jiff::Timestamp::now(), ..self.record.clone() };
        self.replace(state, changed)
    }

    /// Writes the record, and only then believes it.
    pub(crate) fn replace(
        &mut self,
        state: &StateDirectory,
        record: InstanceRecord,
    ) -> Result<(), CloudError> {
        write_json(&state.instance(&record.instance_id).record(), &record)
            .explain(|| format!("the record of instance {} cannot be written", record.instance_id))?;
        self.record = record;
        Ok(())
    }

    /// Looks whether its processes are still there.
    pub(crate) fn look(&mut self, state: &StateDirectory) {
        if self.running.as_mut().is_some_and(Running::has_ended) {
            self.stopped(state);
        }
    }

    /// Its processes are gone.
    pub(crate) fn stopped(&mut self, state: &StateDirectory) {
        self.running = None;
        if let Err(error) = self.advance(state, instance::Progress::Stopped) {
            // What is written says that it runs; when the cloud is opened again, that is corrected.
            tracing::warn!(%error, "an instance has stopped");
            self.record.progress = instance::Progress::Stopped;
        }
    }
}

/// An image.
#[derive(Debug)]
pub(crate) struct ImageEntry {
    pub(crate) record: ImageRecord,
    /// Read by whoever copies from the image, written by whoever removes it.
    pub(crate) in_use: Arc<RwLock<()>>,
    /// Tells whoever copies from the image to stop.
    pub(crate) abandoned: Arc<AtomicBool>,
}

impl ImageEntry {
    /// An image that nobody uses yet.
    pub(crate) fn new(record: ImageRecord) -> Self {
        Self { record, in_use: Arc::default(), abandoned: Arc::default() }
    }

    /// Writes the record, and only then believes it.
    pub(crate) fn replace(&mut self, state: &StateDirectory, record: ImageRecord) -> Result<(), CloudError> {
        write_json(&state.image(&record.image_id).record(), &record)
            .explain(|| format!("the record of image {} cannot be written", record.image_id))?;
        self.record = record;
        Ok(())
    }

    /// Writes how far it has come.
    pub(crate) fn advance(
        &mut self,
        state: &StateDirectory,
        progress: image::Progress,
    ) -> Result<(), CloudError> {
        self.replace(state, ImageRecord { progress, ..self.record.clone() })
    }
}

impl Records {
    /// The instance that was launched with this token, also when it is no more.
    pub(crate) fn by_token(&self, token: &str) -> Option<&InstanceRecord> {
        let living = self.instances.values().map(|entry| &entry.record);
        living.chain(self.terminated.values()).find(|record| record.request.client_token == token)
    }

    /// The image of this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&ImageEntry> {
        self.images.values().find(|entry| entry.record.name == name)
    }

    /// An address that no instance has.
    pub(crate) fn free_address(&mut self, segment: Segment) -> Option<Ipv4Addr> {
        let taken: BTreeSet<Ipv4Addr> = self.instances.values().map(|entry| entry.record.address).collect();
        segment.next_free(&taken, &mut self.last_addresses[usize::from(segment == Segment::Isolated)])
    }
}
