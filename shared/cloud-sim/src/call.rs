//! A call to the cloud, and the record of it.

use rekindle_cloud::{CloudErrorKind, CreateImageRequest, LaunchRequest};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use tokio::time::Instant;

/// The operations of a cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Starts an instance.
    Launch,
    /// Describes one.
    DescribeInstance,
    /// Destroys one.
    Terminate,
    /// Begins an image.
    CreateImage,
    /// Describes one by its id.
    DescribeImage,
    /// Describes one by its name.
    FindImage,
    /// Destroys one.
    DeleteImage,
    /// Finds what carries a run's tag.
    FindByRun,
    /// Finds what carries a machine's tag.
    FindByMachine,
    /// Destroys a volume or a snapshot.
    DeleteOther,
}

impl Operation {
    /// Whether it has an effect.
    pub fn changes_something(self) -> bool {
        match self {
            Self::Launch | Self::Terminate | Self::CreateImage | Self::DeleteImage | Self::DeleteOther => {
                true
            }
            Self::DescribeInstance
            | Self::DescribeImage
            | Self::FindImage
            | Self::FindByRun
            | Self::FindByMachine => false,
        }
    }
}

/// A call with what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Starts an instance.
    Launch(LaunchRequest),
    /// Describes one.
    DescribeInstance(InstanceId),
    /// Destroys one.
    Terminate(InstanceId),
    /// Begins an image.
    CreateImage(CreateImageRequest),
    /// Describes one by its id.
    DescribeImage(ImageId),
    /// Describes one by its name.
    FindImage(String),
    /// Destroys one.
    DeleteImage(ImageId),
    /// Finds what carries a run's tag.
    FindByRun(RunId),
    /// Finds what carries a machine's tag.
    FindByMachine(MachineKey),
    /// Destroys a volume or a snapshot.
    DeleteOther {
        /// `volume` or `snapshot`.
        kind: String,
        /// Its id.
        id: String,
    },
}

impl Call {
    /// Which operation is called.
    pub fn operation(&self) -> Operation {
        match self {
            Self::Launch(_) => Operation::Launch,
            Self::DescribeInstance(_) => Operation::DescribeInstance,
            Self::Terminate(_) => Operation::Terminate,
            Self::CreateImage(_) => Operation::CreateImage,
            Self::DescribeImage(_) => Operation::DescribeImage,
            Self::FindImage(_) => Operation::FindImage,
            Self::DeleteImage(_) => Operation::DeleteImage,
            Self::FindByRun(_) => Operation::FindByRun,
            Self::FindByMachine(_) => Operation::FindByMachine,
            Self::DeleteOther { .. } => Operation::DeleteOther,
        }
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOutcome {
    /// The caller has no answer: none yet, none ever, or it stopped waiting.
    Unanswered,
    /// It succeeded.
    Done,
    /// It failed.
    Failed(CloudErrorKind),
}

/// One call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// When it was made.
    pub at: Instant,
    /// What was called.
    pub call: Call,
    /// What became of it.
    pub outcome: CallOutcome,
}
