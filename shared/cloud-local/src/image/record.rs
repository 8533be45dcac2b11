//! What is known about an image.

use std::collections::BTreeMap;

use rekindle_cloud::{CloudImage, ImageState};
use rekindle_domain::{Bytes, ImageId, InstanceId};
use serde::{Deserialize, Serialize};

/// How far an image has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Progress {
    /// Being made. After a crash it is undone: an instance's tree goes back to the instance.
    Making,
    /// Complete and durable.
    Available,
    /// It could not be made.
    Failed(String),
    /// Being removed.
    Removing,
}

/// The content of `image.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) image_id: ImageId,
    pub(crate) name: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) progress: Progress,
    /// Whose tree it was; a base image has none.
    pub(crate) made_from: Option<InstanceId>,
    pub(crate) size_bytes: Option<u64>,
}

impl ImageRecord {
    /// As the port has it.
    pub(crate) fn describe(&self) -> CloudImage {
        CloudImage {
            image_id: self.image_id.clone(),
            name: self.name.clone(),
            state: match self.progress {
                Progress::Making => ImageState::Pending,
                Progress::Available => ImageState::Available,
                Progress::Failed(_) | Progress::Removing => ImageState::Failed,
            },
            size_bytes: self.size_bytes.map(Bytes),
            tags: self.tags.clone(),
        }
    }
}
