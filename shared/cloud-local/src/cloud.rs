//! The local cloud, as its owner uses it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rekindle_cloud::{
    Characteristics, CloudError, CloudImage, CloudProvider, CreateImageRequest, Instance, LaunchRequest,
    MACHINE_TAG, RUN_TAG, Resource,
};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;

use crate::core::Core;
use crate::error::{Explain as _, refused, uncertain, unknown, wrong_state};
use crate::image::base::{self, BaseImageSpec};
use crate::image::record as image;
use crate::image::{create, remove};
use crate::instance::console::{self, RunOutput};
use crate::instance::record::{self as instance, LaunchCost};
use crate::instance::{launch, terminate};
use crate::options::LocalCloudOptions;
use crate::records::InstanceEntry;

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Longer than an instance takes to stop in the worst case.
const STOP_PATIENCE: Duration = Duration::from_secs(90);
/// The kind of what is left of an instance or image.
const FOLDER: &str = "folder";

/// Real instances on this machine. They end with the process that has opened the cloud, however it ends.
#[derive(Debug)]
pub struct LocalCloud {
    core: Arc<Core>,
}

impl LocalCloud {
    /// Opens the cloud in its state directory, and brings in order what an earlier process has left there.
    ///
    /// # Errors
    /// When the directory is in use, when it is not usable, or when the machine does not allow what is needed.
    pub async fn open(options: LocalCloudOptions) -> Result<Self, CloudError> {
        let core = off_the_runtime(move || Core::open(options)).await?;
        Ok(Self { core })
    }

    /// Makes an image of the host's programs and these files; the same specification gives the same image.
    ///
    /// # Errors
    /// When a file cannot be read, or the image cannot be written.
    pub async fn build_base_image(&self, specification: BaseImageSpec) -> Result<ImageId, CloudError> {
        self.blocking(move |core| base::build(core, &specification)).await
    }

    /// A connection from the host to an address in the private network.
    ///
    /// # Errors
    /// When nothing listens there.
    pub async fn connect(&self, address: SocketAddr) -> Result<UnixStream, CloudError> {
        self.core.network.connect(address).await
    }

    /// Runs a command in an instance, as root there, with this input. Dropping the future kills the command.
    ///
    /// # Errors
    /// When the cloud was opened without a console, when the instance does not run, or when the command cannot start.
    pub async fn run_inside(
        &self,
        instance_id: &InstanceId,
        command: &[String],
        input: &[u8],
    ) -> Result<RunOutput, CloudError> {
        if !self.core.options.console {
            return Err(refused(
                "this cloud was opened without a console: nobody can run commands in its instances",
            ));
        }
        let progress = self.look(instance_id, |entry| entry.record.progress)?;
        if progress != instance::Progress::Running {
            return Err(wrong_state(format!("instance {instance_id} does not run")));
        }
        console::run(&self.core.state.instance(instance_id).run(), command, input).await
    }

    /// Lets the program of an instance end by itself, and waits until the instance has powered off; its disk stays.
    ///
    /// # Errors
    /// When there is no such instance, or it does not stop.
    pub async fn stop(&self, instance_id: &InstanceId) -> Result<(), CloudError> {
        self.look(instance_id, |entry| {
            entry.running.as_mut().map_or(Ok(()), |running| running.ask_to_stop())
        })?
        .explain(|| format!("instance {instance_id} cannot be told to stop"))?;
        let until = Instant::now() + STOP_PATIENCE;
        while self.look(instance_id, |entry| entry.running.is_some())? {
            if Instant::now() > until {
                return Err(uncertain(format!("instance {instance_id} was told to stop, and still runs")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The address of an instance in the private network.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn address(&self, instance_id: &InstanceId) -> Result<IpAddr, CloudError> {
        self.look(instance_id, |entry| IpAddr::V4(entry.record.address))
    }

    /// What it took to give an instance its file system; nothing while it is being launched.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn launch_cost(&self, instance_id: &InstanceId) -> Result<Option<LaunchCost>, CloudError> {
        self.look(instance_id, |entry| entry.record.launch_cost)
    }

    /// Where on the host the program of an instance writes: `program.log`, and `program.1.log` before it.
    pub fn log_directory(&self, instance_id: &InstanceId) -> PathBuf {
        self.core.state.instance(instance_id).log()
    }

    /// Whether files share their blocks in the state directory, so that no launch copies anything.
    pub fn shares_blocks(&self) -> bool {
        self.core.share_blocks
    }

    fn look<T>(
        &self,
        instance_id: &InstanceId,
        what: impl FnOnce(&mut InstanceEntry) -> T,
    ) -> Result<T, CloudError> {
        let mut records = self.core.records();
        let entry = records.instances.get_mut(instance_id);
        let entry = entry.ok_or_else(|| unknown(format!("there is no instance {instance_id}")))?;
        entry.look(&self.core.state);
        Ok(what(entry))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Core>) -> Result<T, CloudError> + Send + 'static,
    ) -> Result<T, CloudError> {
        let core = Arc::clone(&self.core);
        off_the_runtime(move || work(&core)).await
    }
}

/// Ends all instances, and waits until nothing of them runs any more. Their disks stay.
impl Drop for LocalCloud {
    fn drop(&mut self) {
        self.core.close();
    }
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CloudError> + Send + 'static,
) -> Result<T, CloudError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(uncertain("an operation of the local cloud was broken off").because(error)),
    }
}

#[async_trait]
impl CloudProvider for LocalCloud {
    fn characteristics(&self) -> Characteristics {
        Characteristics { name: "local", settling_time: Duration::ZERO, poll_interval: POLL_INTERVAL }
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, CloudError> {
        let request = request.clone();
        self.blocking(move |core| launch::launch(core, &request)).await
    }

    async fn describe_instance(&self, instance_id: &InstanceId) -> Result<Instance, CloudError> {
        let known = self.look(instance_id, |entry| entry.record.describe());
        known.or_else(|error| {
            self.core.records().terminated.get(instance_id).map(|record| record.describe()).ok_or(error)
        })
    }

    async fn terminate(&self, instance_id: &InstanceId) -> Result<(), CloudError> {
        let id = instance_id.clone();
        self.blocking(move |core| terminate::terminate(core, &id)).await
    }

    async fn create_image(&self, request: &CreateImageRequest) -> Result<CloudImage, CloudError> {
        let request = request.clone();
        self.blocking(move |core| create::create_image(core, &request)).await
    }

    async fn describe_image(&self, image_id: &ImageId) -> Result<CloudImage, CloudError> {
        let records = self.core.records();
        let entry =
            records.images.get(image_id).filter(|entry| entry.record.progress != image::Progress::Removing);
        entry
            .map(|entry| entry.record.describe())
            .ok_or_else(|| unknown(format!("there is no image {image_id}")))
    }

    async fn find_image(&self, name: &str) -> Result<Option<CloudImage>, CloudError> {
        let records = self.core.records();
        let entry = records.by_name(name).filter(|entry| entry.record.progress != image::Progress::Removing);
        Ok(entry.map(|entry| entry.record.describe()))
    }

    async fn delete_image(&self, image_id: &ImageId) -> Result<(), CloudError> {
        let id = image_id.clone();
        self.blocking(move |core| remove::delete_image(core, &id)).await
    }

    async fn find_by_run(&self, run_id: &RunId) -> Result<Vec<Resource>, CloudError> {
        let mut records = self.core.records();
        let mut found = Vec::new();
        for entry in records.instances.values_mut().filter(|entry| entry.record.request.run_id == *run_id) {
            entry.look(&self.core.state);
            found.push(instance_resource(entry));
        }
        let tagged = |tag: Option<&String>| tag.is_some_and(|value| value == run_id.as_str());
        let images = records.images.values().filter(|entry| tagged(entry.record.tags.get(RUN_TAG)));
        found.extend(images.map(|entry| image_resource(&entry.record)));
        Ok(found)
    }

    async fn find_by_machine(&self, machine: &MachineKey) -> Result<Vec<Resource>, CloudError> {
        let mut records = self.core.records();
        let mut found = Vec::new();
        for entry in records.instances.values_mut().filter(|entry| entry.record.request.machine == *machine) {
            entry.look(&self.core.state);
            if entry.record.progress != instance::Progress::Removing {
                found.push(instance_resource(entry));
            }
        }
        let is_meant = |record: &image::ImageRecord| {
            record.progress != image::Progress::Removing
                && record.tags.contains_key(RUN_TAG)
                && record.tags.get(MACHINE_TAG).is_some_and(|value| *value == machine.to_string())
        };
        let images = records.images.values().filter(|entry| is_meant(&entry.record));
        found.extend(images.map(|entry| image_resource(&entry.record)));
        Ok(found)
    }

    async fn delete_other(&self, kind: &str, id: &str) -> Result<(), CloudError> {
        match id.split_once('/') {
            Some(("instances", name)) if kind == FOLDER => match InstanceId::parse(name) {
                Ok(id) => self.terminate(&id).await,
                Err(_) => Ok(()),
            },
            Some(("images", name)) if kind == FOLDER => match ImageId::parse(name) {
                Ok(id) => self.delete_image(&id).await,
                Err(_) => Ok(()),
            },
            // Unknown is success: nothing else is ever made here.
            _ => Ok(()),
        }
    }
}

fn instance_resource(entry: &InstanceEntry) -> Resource {
    if entry.record.progress == instance::Progress::Removing {
        return Resource::Other {
            kind: FOLDER.into(),
            id: format!("instances/{}", entry.record.instance_id),
        };
    }
    Resource::Instance(entry.record.describe())
}

fn image_resource(record: &image::ImageRecord) -> Resource {
    if record.progress == image::Progress::Removing {
        return Resource::Other { kind: FOLDER.into(), id: format!("images/{}", record.image_id) };
    }
    Resource::Image(record.describe())
}
