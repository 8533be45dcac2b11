//! The two buckets of the backup store, as this agent reaches them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rekindle_step::StepError;
use rekindle_store::{FolderStore, ObjectStore};

use crate::aws;
use crate::configuration::AgentConfiguration;
use crate::error::failed;
use crate::places::Places;
use crate::transfer::store_error;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Descriptions, signatures, configurations.
    Control,
    /// The customer's encrypted data.
    Data,
}

impl Bucket {
    /// Its name as a folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }
}

/// Where the buckets are.
#[derive(Clone, Default)]
pub enum Buckets {
    /// Folders that are mounted into the instance.
    #[default]
    Mounted,
    /// Stores that somebody opened.
    Opened {
        /// Descriptions, signatures, configurations.
        control: Arc<dyn ObjectStore>,
        /// The customer's encrypted data.
        data: Arc<dyn ObjectStore>,
    },
}

impl fmt::Debug for Buckets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Mounted => "Mounted",
            Self::Opened { .. } => "Opened",
        })
    }
}

impl Buckets {
    /// One of the buckets.
    ///
    /// # Errors
    /// When it is a folder that is not there.
    pub fn get(&self, places: &Places, bucket: Bucket) -> Result<Arc<dyn ObjectStore>, StepError> {
        match (self, bucket) {
            (Self::Mounted, bucket) => {
                Ok(Arc::new(FolderStore::open(places.bucket(bucket.name())).map_err(store_error)?))
            }
            (Self::Opened { control, .. }, Bucket::Control) => Ok(control.clone()),
            (Self::Opened { data, .. }, Bucket::Data) => Ok(data.clone()),
        }
    }
}

/// The buckets that agent.toml names; `otherwise` is how a person names them without it.
pub(crate) async fn open_configured(
    configuration: &AgentConfiguration,
    otherwise: &str,
) -> Result<Buckets, StepError> {
    let settings = configuration.aws.as_ref().ok_or_else(|| {
        failed("nobody said where the buckets are")
            .next_step(format!("{otherwise}, or add the table [aws] to agent.toml"))
    })?;
    aws::open_buckets(settings).await
}

/// A bucket that is a folder.
pub(crate) fn open_folder(folder: &Path) -> Result<Arc<dyn ObjectStore>, StepError> {
    Ok(Arc::new(FolderStore::open(folder).map_err(store_error)?))
}
