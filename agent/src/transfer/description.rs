//! Reads the signed description of a set.

use rekindle_domain::backup_set::LONGEST_DESCRIPTION_BYTES;
use rekindle_domain::{BackupId, BackupSet, BackupSetError, MachineKey, ObjectKey};
use rekindle_step::{ErrorName, StepError};
use rekindle_store::{ObjectStore, StoreError};

use crate::error::refused;
use crate::keys::{LONGEST_SIGNATURE_BYTES, TrustedKeys};

/// The description of a set of this machine, once its signature held.
pub(crate) async fn read_description(
    control: &dyn ObjectStore,
    trusted: &TrustedKeys,
    machine: &MachineKey,
    backup_id: &BackupId,
) -> Result<BackupSet, StepError> {
    let bytes = get(control, &machine.set_description_key(backup_id), LONGEST_DESCRIPTION_BYTES).await?;
    let signature = get(control, &machine.set_signature_key(backup_id), LONGEST_SIGNATURE_BYTES).await?;
    trusted.verify(&format!("the description of the set {backup_id}"), &bytes, &signature)?;
    BackupSet::parse(&bytes, machine, backup_id).map_err(|error: BackupSetError| {
        refused(format!("the description of the set {backup_id} is refused"))
            .because(error)
            .next_step("Take a new backup; this one is never restored")
    })
}

/// A small object of the control bucket.
pub(crate) async fn get(
    control: &dyn ObjectStore,
    key: &ObjectKey,
    limit_bytes: u64,
) -> Result<bytes::Bytes, StepError> {
    control.get(key, limit_bytes).await.map_err(store_error)
}

/// An error of the store under the name that flows know.
pub(crate) fn store_error(error: StoreError) -> StepError {
    let name = match &error {
        StoreError::NotFound { .. } => ErrorName::ObjectMissing,
        StoreError::ShortObject { .. } => ErrorName::ObjectTruncated,
        StoreError::TooLarge { .. } => ErrorName::SetRefused,
        StoreError::NoSpace { .. } => ErrorName::DiskFull,
        StoreError::Unavailable { .. } => ErrorName::Transient,
        StoreError::AlreadyExists { .. } | StoreError::Refused { .. } => ErrorName::AgentFailed,
    };
    StepError::new(name, "the backup store did not give or take an object").because(error)
}
