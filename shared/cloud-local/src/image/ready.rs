//! The ready copy: where files cannot share blocks, a copy of the image that a replica takes as it is.
//!
//! So the copy is paid for when an image is registered, and never at a recovery. When it is taken, the next one is made
//! in the background.

use std::fs;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

use rekindle_domain::ImageId;

use crate::core::Core;
use crate::directories::{ImageDirectory, remove_tree};
use crate::durable::{sync_directory_of, sync_file_system};
use crate::image::copy::TreeCopy;
use crate::image::record::Progress;

/// Makes the copy that is missing, in the background.
pub(crate) fn replenish(core: &Arc<Core>, id: &ImageId) {
    let id = id.clone();
    core.in_background("ready-copy", move |core| {
        let found = core.records().images.get(&id).and_then(|entry| {
            let available = entry.record.progress == Progress::Available;
            available.then(|| (Arc::clone(&entry.in_use), Arc::clone(&entry.abandoned)))
        });
        let Some((in_use, abandoned)) = found else { return };
        let _reading = in_use.read().unwrap_or_else(PoisonError::into_inner);
        let _alone = core.copying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = make(&core.state.image(&id), &abandoned)
            && error.kind() != io::ErrorKind::Interrupted
        {
            // The next replica pays for a copy of its own.
            tracing::warn!(%error, image = %id, "the ready copy of an image could not be made");
        }
    });
}

/// Makes a durable ready copy where there is none.
pub(crate) fn make(image: &ImageDirectory, abandoned: &AtomicBool) -> io::Result<()> {
    if image.ready().exists() {
        return Ok(());
    }
    remove_tree(&image.unfinished())?;
    copy(image, abandoned).inspect_err(|_| {
        // What cannot be removed now is removed when the cloud is opened again.
        drop(remove_tree(&image.unfinished()));
    })
}

fn copy(image: &ImageDirectory, abandoned: &AtomicBool) -> io::Result<()> {
    TreeCopy::new(false, abandoned).run(&image.tree(), &image.unfinished())?;
    sync_file_system(&image.unfinished())?;
    fs::rename(image.unfinished(), image.ready())?;
    sync_directory_of(&image.ready())
}
