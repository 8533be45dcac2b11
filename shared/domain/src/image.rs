//! An image: something a cloud provider can start, and what is proven about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup_set::SetPosition;
use crate::configuration::RevisionId;
use crate::identity::{BackupId, ImageId, MachineKey, RunId};
use crate::quantity::Bytes;
use crate::verdict::Verdict;

/// What is proven about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ImageVerdict {
    /// Restored and verified in the builder that it was made from.
    DataProven,
    /// The image itself was started and answered.
    BootProven,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The image that the builder was started from.
    pub parent_image_id: ImageId,
    /// Whether the parent was the base image, so that nothing of an older image is inside.
    pub from_base: bool,
    /// The sets that were applied onto the parent, oldest first.
    pub applied: Vec<BackupId>,
}

/// A registered image of one machine. Only verified ones are registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What the provider calls it.
    pub image_id: ImageId,
    /// Which machine it is an image of.
    pub machine: MachineKey,
    /// The run that made it.
    pub run_id: RunId,
    /// The newest backup set inside.
    pub backup_id: BackupId,
    /// The group of that set: images of one group, one of each machine, bring a service back at one moment.
    pub group_id: Option<BackupId>,
    /// That set's place in the machine's history.
    pub position: SetPosition,
    /// The configuration inside; none where the service has published none.
    pub revision: Option<RevisionId>,
    /// The publication counter of that configuration; 0 where there is none.
    pub configuration_counter: u64,
    /// Everything committed before this instant is inside: read back from the restored heartbeat.
    pub recovery_point: Timestamp,
    /// How far it is proven.
    pub verdict: ImageVerdict,
    /// The facts behind the verdict.
    pub evidence: Verdict,
    /// Where it comes from.
    pub lineage: Lineage,
    /// When the provider said that it is available.
    pub available_at: Timestamp,
    /// What it takes at the provider, where the provider says so.
    pub size_bytes: Option<Bytes>,
}

impl Image {
    /// Order within a machine's register: by history, then by configuration.
    pub fn order(&self) -> (SetPosition, u64) {
        (self.position, self.configuration_counter)
    }
}
