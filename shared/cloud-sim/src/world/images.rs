//! Images: made of stopped instances, started as new ones.

use rekindle_cloud::{CloudError, CloudErrorKind, CloudImage, CreateImageRequest, ImageState, InstanceState};
use rekindle_domain::{Bytes, ImageId, InstanceId, MachineKey, RunId};
use tokio::time::Instant;

use super::others::Owner;
use super::{Change, Tags, World, not_found, tags};
use crate::history::History;
use crate::{Disk, SNAPSHOT};

/// An image as it is.
#[derive(Debug)]
pub(crate) struct ImageRecord {
    pub(crate) name: String,
    pub(crate) tags: Tags,
    /// Nothing, when it was deleted.
    pub(crate) state: History<Option<ImageState>>,
    pub(crate) disk: Disk,
    /// A base image has none: it belongs to somebody else.
    pub(crate) snapshot_id: Option<String>,
}

impl ImageRecord {
    pub(crate) fn description(&self, id: &ImageId, state: ImageState) -> CloudImage {
        CloudImage {
            image_id: id.clone(),
            name: self.name.clone(),
            state,
            size_bytes: Some(Bytes(self.disk.to_string().len() as u64)),
            tags: self.tags.clone(),
        }
    }

    pub(crate) fn is_base(&self) -> bool {
        self.snapshot_id.is_none()
    }
}

impl World {
    pub(crate) fn add_base_image(&mut self, id: ImageId, disk: Disk) {
        let record = ImageRecord {
            name: id.to_string(),
            tags: Tags::new(),
            state: History::without_beginning(Some(ImageState::Available)),
            disk,
            snapshot_id: None,
        };
        self.images.insert(id, record);
    }

    pub(crate) fn add_image(&mut self, id: ImageId, run_id: &RunId, machine: &MachineKey, disk: Disk) {
        let tags = tags(run_id, machine);
        let snapshot_id = self.add_other(SNAPSHOT, "snap", Owner::Image(id.clone()), tags.clone());
        let record = ImageRecord {
            name: id.to_string(),
            tags,
            state: History::without_beginning(Some(ImageState::Available)),
            disk,
            snapshot_id: Some(snapshot_id),
        };
        self.images.insert(id, record);
    }

    pub(crate) fn create_image(&mut self, request: &CreateImageRequest) -> Result<CloudImage, CloudError> {
        self.check_name(&request.name)?;
        let disk = self.disk_to_save(&request.instance_id)?;
        let image_id = ImageId::parse(&format!("ami-{}", self.draw_digits()))
            .map_err(|error| CloudError::new(CloudErrorKind::Refused, "an image got no id").because(error))?;
        let tags = tags(&request.run_id, &request.machine);
        let snapshot_id = self.add_other(SNAPSHOT, "snap", Owner::Image(image_id.clone()), tags.clone());
        let record = ImageRecord {
            name: request.name.clone(),
            tags,
            state: History::beginning(Instant::now(), Some(ImageState::Pending)),
            disk,
            snapshot_id: Some(snapshot_id),
        };
        let description = record.description(&image_id, ImageState::Pending);
        self.images.insert(image_id.clone(), record);
        self.upcoming.push((self.behaviour.image_time, Change::ImageFinished(image_id)));
        Ok(description)
    }

    fn check_name(&self, name: &str) -> Result<(), CloudError> {
        let is_taken =
            self.images.values().any(|image| image.name == name && image.state.current().is_some());
        if is_taken {
            let what = format!("InvalidAMIName.Duplicate: there is an image {name}");
            return Err(CloudError::new(CloudErrorKind::NameTaken, what));
        }
        Ok(())
    }

    fn disk_to_save(&self, id: &InstanceId) -> Result<Disk, CloudError> {
        let instance = self.instances.get(id).ok_or_else(|| not_found("instance", id.as_str()))?;
        if instance.state.current() == InstanceState::Stopped {
            return Ok(instance.disk.clone());
        }
        Err(CloudError::new(CloudErrorKind::WrongState, format!("the instance {id} is not stopped")))
    }

    pub(super) fn finish_image(&mut self, id: &ImageId) {
        let Some(image) = self.images.get_mut(id) else { return };
        if image.state.current() != Some(ImageState::Pending) {
            return;
        }
        let fails = self.images_to_fail > 0;
        self.images_to_fail = self.images_to_fail.saturating_sub(1);
        let state = if fails { ImageState::Failed } else { ImageState::Available };
        image.state.change(Instant::now(), Some(state));
    }

    pub(crate) fn describe_image(&mut self, id: &ImageId) -> Result<CloudImage, CloudError> {
        let age = self.draw_age();
        let image = self.images.get(id).ok_or_else(|| not_found("image", id.as_str()))?;
        let state = image.state.seen(Instant::now(), age).flatten();
        let state = state.ok_or_else(|| not_found("image", id.as_str()))?;
        Ok(image.description(id, state))
    }

    pub(crate) fn find_image(&mut self, name: &str) -> Option<CloudImage> {
        let age = self.draw_age();
        let now = Instant::now();
        self.images.iter().filter(|(_, image)| image.name == name && !image.is_base()).find_map(
            |(id, image)| {
                let state = image.state.seen(now, age).flatten()?;
                Some(image.description(id, state))
            },
        )
    }

    pub(crate) fn delete_image(&mut self, id: &ImageId) -> Result<(), CloudError> {
        let age = self.draw_age_for_delete();
        let now = Instant::now();
        let Some(image) = self.images.get_mut(id) else { return Ok(()) };
        let Some(snapshot_id) = image.snapshot_id.clone() else {
            return Err(CloudError::new(
                CloudErrorKind::Refused,
                format!("{id} is a base image of somebody else"),
            ));
        };
        if image.state.current().is_none() || image.state.seen(now, age).is_none() {
            return Ok(());
        }
        image.state.change(now, None);
        image.disk = Disk::Null;
        self.remove_with_owner(SNAPSHOT, &snapshot_id);
        Ok(())
    }
}
