//! The port through which instances and images are made, found and destroyed.
//!
//! A provider may lag and repeat itself: an id that was just returned may be unknown to the next `describe`, an empty
//! `find` proves nothing before the [settling time](Characteristics::settling_time) has passed, effects may come after
//! a call has failed. Callers write their intent first and use names that make a second call harmless.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use rekindle_domain::{Bytes, ImageId, InstanceId, MachineKey, RunId};
use rekindle_step::{ErrorName, StepError};
use serde::{Deserialize, Serialize};

/// The tag that every resource of a run carries from its creation on.
pub const RUN_TAG: &str = "rekindle:run";
/// The tag that names the machine, `customer/service/machine`.
pub const MACHINE_TAG: &str = "rekindle:machine";

/// What a provider is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Characteristics {
    /// Its name: `ec2`, `local`, `sim`.
    pub name: &'static str,
    /// How long after a call its effects may still be invisible, or still come. An empty find is a proof only when it
    /// was made this long after the last intent. Zero for a provider whose answers are always current.
    pub settling_time: Duration,
    /// How long to wait between two looks at something that is on its way.
    pub poll_interval: Duration,
}

/// Why an instance is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To refresh an image; the instance may read the customer's backups.
    Builder,
    /// To serve; the instance must start without waiting for a copy of its data.
    Replica,
}

/// Everything that a launch needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchRequest {
    /// At most 64 characters; the same token gives the same instance. Zonal: name the zone in what it is made from.
    pub client_token: String,
    /// Tagged on everything that the launch makes.
    pub run_id: RunId,
    /// Tagged likewise.
    pub machine: MachineKey,
    /// What to start.
    pub image_id: ImageId,
    /// How large.
    pub instance_type: String,
    /// Where; empty leaves it to the provider.
    pub zone: String,
    /// Why.
    pub purpose: Purpose,
    /// The customer's SSH key, by the name that the provider knows it under.
    pub ssh_key_name: String,
    /// Whether the instance is kept apart from production's network.
    pub isolated_network: bool,
}

/// How an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// On its way.
    Pending,
    /// Started.
    Running,
    /// On its way to stopped.
    Stopping,
    /// Powered off; its disks are complete.
    Stopped,
    /// Being destroyed.
    ShuttingDown,
    /// Destroyed; it holds nothing any more.
    Terminated,
}

/// An instance, as its provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub instance_id: InstanceId,
    /// How it stands.
    pub state: InstanceState,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Everything that an image needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateImageRequest {
    /// Unique at the provider: a second request with the same name is answered with [`CloudErrorKind::NameTaken`].
    pub name: String,
    /// Tagged on the image and on everything under it.
    pub run_id: RunId,
    /// Tagged likewise.
    pub machine: MachineKey,
    /// The stopped instance.
    pub instance_id: InstanceId,
}

/// How an image stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// Being made.
    Pending,
    /// It can be started.
    Available,
    /// It could not be made.
    Failed,
}

/// An image, as its provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudImage {
    /// Its id.
    pub image_id: ImageId,
    /// The name that it was asked for under.
    pub name: String,
    /// How it stands.
    pub state: ImageState,
    /// What it takes, where the provider says so.
    pub size_bytes: Option<Bytes>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Something that carries a run's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// An instance that is not terminated.
    Instance(Instance),
    /// An image.
    Image(CloudImage),
    /// Anything else that costs money or holds data: a volume, a snapshot, a network interface, a folder.
    Other {
        /// For example `volume`.
        kind: String,
        /// Its id at the provider.
        id: String,
    },
}

impl Resource {
    /// The provider's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Instance(instance) => instance.instance_id.as_str(),
            Self::Image(image) => image.image_id.as_str(),
            Self::Other { id, .. } => id,
        }
    }

    /// `instance`, `image`, or what else it is.
    pub fn kind(&self) -> &str {
        match self {
            Self::Instance(_) => "instance",
            Self::Image(_) => "image",
            Self::Other { kind, .. } => kind,
        }
    }
}

/// What kind of refusal or failure a provider answered with. Classified once, by the provider's crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudErrorKind {
    /// The id is unknown: it never existed, is gone, or is too new to be seen.
    NotFound,
    /// No capacity of this type in this zone, definitively: the next type or zone may have some.
    NoCapacity,
    /// An image of this name exists.
    NameTaken,
    /// The resource is in a state that does not allow this.
    WrongState,
    /// Too many calls.
    Throttled,
    /// The call may or may not have had its effect.
    Uncertain,
    /// The provider will always refuse this.
    Refused,
}

/// Why a call to a provider failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct CloudError {
    /// For the caller's decision.
    pub kind: CloudErrorKind,
    /// What was being done, and what went wrong, in one sentence.
    pub what: String,
    /// The provider's own error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl CloudError {
    /// An error without one underneath.
    pub fn new(kind: CloudErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, CloudErrorKind::Throttled | CloudErrorKind::Uncertain)
    }
}

impl From<CloudError> for StepError {
    /// Throttled and uncertain calls are tried again; a refusal is final.
    fn from(error: CloudError) -> Self {
        let what = error.what;
        let mut step = match error.kind {
            CloudErrorKind::Throttled | CloudErrorKind::Uncertain => Self::transient(what),
            CloudErrorKind::NoCapacity => Self::new(ErrorName::NoCapacity, what),
            // Too new to be seen, or on its way to another state: the next look may find it.
            CloudErrorKind::NotFound | CloudErrorKind::WrongState => Self::transient(what),
            CloudErrorKind::NameTaken | CloudErrorKind::Refused => Self::dirty(what),
        };
        step.source = error.source;
        step
    }
}

/// A cloud.
#[async_trait]
pub trait CloudProvider: Send + Sync {
    /// What it is like.
    fn characteristics(&self) -> Characteristics;

    /// Starts an instance; the same client token with the same request gives the same instance.
    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, CloudError>;

    /// An instance by its id; `NotFound` may only mean that it is too new.
    async fn describe_instance(&self, instance_id: &InstanceId) -> Result<Instance, CloudError>;

    /// Destroys an instance and its disks. One that is terminated or unknown is success.
    async fn terminate(&self, instance_id: &InstanceId) -> Result<(), CloudError>;

    /// Begins to make an image of a stopped instance.
    async fn create_image(&self, request: &CreateImageRequest) -> Result<CloudImage, CloudError>;

    /// An image by its id.
    async fn describe_image(&self, image_id: &ImageId) -> Result<CloudImage, CloudError>;

    /// An image by the name that it was asked for under.
    async fn find_image(&self, name: &str) -> Result<Option<CloudImage>, CloudError>;

    /// Destroys an image with everything under it. One that is unknown is success.
    async fn delete_image(&self, image_id: &ImageId) -> Result<(), CloudError>;

    /// Everything that carries the run's tag and is not terminated. What is a part of an instance or image that
    /// still exists (its volumes, its snapshots) goes with it and is not listed apart; what lost its owner is.
    async fn find_by_run(&self, run_id: &RunId) -> Result<Vec<Resource>, CloudError>;

    /// The instances that are not terminated and the images that carry the machine's tag and a run's: what the
    /// customer itself has tagged, such as a base image, is not listed, and parts are not either.
    async fn find_by_machine(&self, machine: &MachineKey) -> Result<Vec<Resource>, CloudError>;

    /// Destroys something that is neither an instance nor an image. Unknown is success.
    async fn delete_other(&self, kind: &str, id: &str) -> Result<(), CloudError>;
}
