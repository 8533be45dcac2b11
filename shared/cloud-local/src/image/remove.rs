//! The end of an image.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rekindle_cloud::CloudError;
use rekindle_domain::ImageId;

use crate::core::Core;
use crate::directories::remove_tree;
use crate::error::Explain as _;
use crate::image::record::Progress;

/// Destroys an image. One that is unknown is success.
pub(crate) fn delete_image(core: &Core, id: &ImageId) -> Result<(), CloudError> {
    let in_use = {
        let mut records = core.records();
        let Some(entry) = records.images.get_mut(id) else { return Ok(()) };
        entry.advance(&core.state, Progress::Removing)?;
        entry.abandoned.store(true, Ordering::Relaxed);
        Arc::clone(&entry.in_use)
    };
    // Whoever copies from it stops now.
    let _alone = in_use.write().unwrap_or_else(PoisonError::into_inner);
    let folder = core.state.image(id);
    remove_tree(folder.path()).explain(|| format!("{} cannot be removed", folder.path().display()))?;
    core.records().images.remove(id);
    Ok(())
}
