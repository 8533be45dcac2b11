//! Where an instance has the data identity from.

use std::path::PathBuf;

use rekindle_step::StepError;

use crate::files::wipe;
use crate::keys::DataIdentity;

/// Where the identity that decrypts backups comes from.
#[derive(Debug)]
pub enum IdentitySource {
    /// A file in memory that whoever started the instance put there.
    File(PathBuf),
    /// A file that only the customer's data key opens; the identity itself never lies in a file.
    #[cfg(feature = "aws")]
    Kms(crate::aws::KmsIdentity),
}

impl IdentitySource {
    pub(crate) async fn obtain(&self) -> Result<DataIdentity, StepError> {
        match self {
            Self::File(path) => DataIdentity::read(path),
            #[cfg(feature = "aws")]
            Self::Kms(wrapped) => wrapped.obtain().await,
        }
    }

    /// Leaves nothing of it behind, as far as that is in the agent's hands.
    pub(crate) fn forget(&self) {
        match self {
            Self::File(path) => {
                if let Err(error) = wipe(path) {
                    // It was handed in from outside and lies in memory: whoever put it there may have made it
                    // unremovable.
                    tracing::warn!(
                        error = error.chain(),
                        "the data identity could not be removed; it goes with the memory"
                    );
                }
            }
            #[cfg(feature = "aws")]
            Self::Kms(wrapped) => wrapped.forget(),
        }
    }
}
