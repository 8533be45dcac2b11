//! From a stopped instance to an image.

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rand::Rng as _;
use rekindle_cloud::{CloudError, CloudErrorKind, CloudImage, CreateImageRequest};
use rekindle_domain::{ImageId, InstanceId};

use crate::core::Core;
use crate::directories::{ImageDirectory, remove_tree};
use crate::durable::{sync_directory_of, sync_file_system};
use crate::error::{Explain as _, refused, sentence, uncertain, unknown, wrong_state};
use crate::image::copy::size_of_tree;
use crate::image::ready;
use crate::image::record::{ImageRecord, Progress};
use crate::instance::record as instance;
use crate::records::{ImageEntry, Records};

/// Takes the instance's tree for a new image; the rest is done in the background.
pub(crate) fn create_image(core: &Arc<Core>, request: &CreateImageRequest) -> Result<CloudImage, CloudError> {
    let turn = core.records().instances.get(&request.instance_id).map(|entry| Arc::clone(&entry.turn));
    let turn = turn.ok_or_else(|| unknown_or_taken(core, request))?;
    let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let record = begin(core, request)?;
    let image = core.state.image(&record.image_id);
    if let Err(error) = take_tree(core, &request.instance_id, &image) {
        undo(core, request, &record.image_id, &image);
        return Err(error);
    }
    finish_in_background(core, &record.image_id);
    Ok(record.describe())
}

fn unknown_or_taken(core: &Core, request: &CreateImageRequest) -> CloudError {
    refuse_taken(&core.records(), &request.name)
        .err()
        .unwrap_or_else(|| unknown(format!("there is no instance {}", request.instance_id)))
}

fn refuse_taken(records: &Records, name: &str) -> Result<(), CloudError> {
    match records.by_name(name) {
        Some(entry) => Err(CloudError::new(
            CloudErrorKind::NameTaken,
            format!("the name {name} is taken by image {}", entry.record.image_id),
        )),
        None => Ok(()),
    }
}

/// Writes the intent.
fn begin(core: &Core, request: &CreateImageRequest) -> Result<ImageRecord, CloudError> {
    let mut records = core.records();
    if records.closed {
        return Err(refused("the cloud is being closed"));
    }
    refuse_taken(&records, &request.name)?;
    refuse_unless_stopped(core, &mut records, &request.instance_id)?;
    let record = ImageRecord {
        image_id: mint_id()?,
        name: request.name.clone(),
        tags: instance::tags(&request.run_id, &request.machine),
        progress: Progress::Making,
        made_from: Some(request.instance_id.clone()),
        size_bytes: None,
    };
    insert(core, &mut records, record.clone())?;
    Ok(record)
}

fn refuse_unless_stopped(core: &Core, records: &mut Records, id: &InstanceId) -> Result<(), CloudError> {
    let entry = records.instances.get_mut(id).ok_or_else(|| unknown(format!("there is no instance {id}")))?;
    entry.look(&core.state);
    if entry.record.progress != instance::Progress::Stopped {
        return Err(wrong_state(format!("instance {id} is not stopped")));
    }
    if !core.state.instance(id).tree().exists() {
        return Err(wrong_state(format!("instance {id} has no disk any more: an image was made of it")));
    }
    Ok(())
}

/// Makes the folder of an image, with its record in it.
pub(crate) fn insert(core: &Core, records: &mut Records, record: ImageRecord) -> Result<(), CloudError> {
    let folder = core.state.image(&record.image_id);
    fs::create_dir(folder.path()).explain(|| format!("cannot make {}", folder.path().display()))?;
    let mut entry = ImageEntry::new(record.clone());
    entry.replace(&core.state, record)?;
    records.images.insert(entry.record.image_id.clone(), entry);
    Ok(())
}

fn mint_id() -> Result<ImageId, CloudError> {
    let number: u128 = rand::rng().random();
    let digits = format!("{number:032x}");
    ImageId::parse(&format!("img-{}", &digits[..17])).map_err(|error| uncertain(error.to_string()))
}

fn take_tree(core: &Core, from: &InstanceId, image: &ImageDirectory) -> Result<(), CloudError> {
    let tree = core.state.instance(from).tree();
    fs::rename(&tree, image.tree())
        .and_then(|()| sync_directory_of(&image.tree()))
        .and_then(|()| sync_directory_of(&tree))
        .explain(|| format!("the disk of {from} cannot become an image"))
}

/// Gives back what was taken. Where that fails as well, it is done when the cloud is opened again.
fn undo(core: &Core, request: &CreateImageRequest, id: &ImageId, image: &ImageDirectory) {
    let given_back = !image.tree().exists()
        || fs::rename(image.tree(), core.state.instance(&request.instance_id).tree()).is_ok();
    if given_back && remove_tree(image.path()).is_ok() {
        core.records().images.remove(id);
    }
}

fn finish_in_background(core: &Arc<Core>, id: &ImageId) {
    let id = id.clone();
    core.in_background("image", move |core| {
        let Some((in_use, abandoned)) = core
            .records()
            .images
            .get(&id)
            .map(|entry| (Arc::clone(&entry.in_use), Arc::clone(&entry.abandoned)))
        else {
            return;
        };
        let _reading = in_use.read().unwrap_or_else(PoisonError::into_inner);
        let size = complete(core, &core.state.image(&id), &abandoned);
        if !abandoned.load(Ordering::Relaxed) {
            conclude(core, &id, size);
        }
    });
}

/// Makes the tree durable, and a ready copy where one is needed.
pub(crate) fn complete(
    core: &Core,
    image: &ImageDirectory,
    abandoned: &std::sync::atomic::AtomicBool,
) -> Result<u64, CloudError> {
    let tree = image.tree();
    sync_file_system(&tree).explain(|| "the image cannot be made durable".into())?;
    let size = size_of_tree(&tree).explain(|| "the image cannot be measured".into())?;
    if !core.share_blocks {
        ready::make(image, abandoned).explain(|| "the image cannot be copied".into())?;
    }
    Ok(size)
}

fn conclude(core: &Core, id: &ImageId, size: Result<u64, CloudError>) {
    let mut records = core.records();
    let Some(entry) = records.images.get_mut(id).filter(|entry| entry.record.progress == Progress::Making)
    else {
        return;
    };
    let (progress, size_bytes) = match size {
        Ok(size) => (Progress::Available, Some(size)),
        Err(error) => (Progress::Failed(sentence(&error)), None),
    };
    let record = ImageRecord { progress, size_bytes, ..entry.record.clone() };
    if let Err(error) = entry.replace(&core.state, record) {
        entry.record.progress = Progress::Failed(sentence(&error));
    }
}
