//! Takes what has arrived in the store into the register: every set description once, accepted or refused.
//!
//! Descriptions come from outside: their length is looked at before they are read, their signature before they are
//! believed, and whatever does not fit is refused with a sentence. The agent checks all of it again for itself.

use std::collections::BTreeSet;

use minisign_verify::{PublicKey, Signature};
use rekindle_cmdb::{RefusedDescription, Register, SetRecord, SetStatus};
use rekindle_domain::backup_set::LONGEST_DESCRIPTION_BYTES;
use rekindle_domain::{BackupId, BackupSet, MachineKey, Service};
use rekindle_step::{Clock, ErrorName, StepError};
use rekindle_store::{ObjectStore, StoreError, get_or_not_found};

/// A detached signature has a few hundred bytes.
const LONGEST_SIGNATURE_BYTES: u64 = 4096;

/// What is needed to record arrivals.
pub struct Arrivals<'a> {
    /// Where they are recorded.
    pub register: &'a Register,
    /// Where they lie.
    pub control: &'a dyn ObjectStore,
    /// When they are recorded.
    pub clock: &'a dyn Clock,
}

/// Why a description is refused.
struct Refusal {
    error: ErrorName,
    cause: String,
}

fn refusal(error: ErrorName, cause: impl Into<String>) -> Refusal {
    Refusal { error, cause: cause.into() }
}

impl Arrivals<'_> {
    /// Records every description of the machine that the register does not know yet.
    pub async fn record(&self, key: &MachineKey, service: &Service) -> Result<(), StepError> {
        let known = self.known(key).await?;
        let objects = self.control.list(&key.sets_prefix()).await.map_err(unavailable)?;
        for object in objects {
            let Some((machine, backup_id)) = MachineKey::of_set_description(&object.key) else { continue };
            if machine == *key && !known.contains(&backup_id) {
                self.record_one(key, &backup_id, service).await?;
            }
        }
        Ok(())
    }

    async fn known(&self, key: &MachineKey) -> Result<BTreeSet<BackupId>, StepError> {
        let sets = self.register.sets(key).await.map_err(StepError::from)?;
        let refused = self.register.refused_descriptions(key).await.map_err(StepError::from)?;
        let accepted = sets.into_iter().map(|record| record.set.backup_id);
        Ok(accepted.chain(refused.into_iter().map(|refused| refused.backup_id)).collect())
    }

    async fn record_one(
        &self,
        key: &MachineKey,
        backup_id: &BackupId,
        service: &Service,
    ) -> Result<(), StepError> {
        let now = self.clock.now();
        match self.read(key, backup_id, service).await? {
            Ok(set) => {
                let record = SetRecord { set, status: SetStatus::Accepted, recorded_at: now };
                self.register.record_set(&record).await.map_err(StepError::from)?;
            }
            Err(refusal) => {
                let refused = RefusedDescription {
                    machine: key.clone(),
                    backup_id: backup_id.clone(),
                    error: refusal.error.as_str().to_owned(),
                    cause: refusal.cause,
                    at: now,
                };
                self.register.record_refused_description(&refused).await.map_err(StepError::from)?;
            }
        }
        Ok(())
    }

    /// The description as it is signed, or one sentence why it is refused.
    pub async fn read_signed(
        &self,
        key: &MachineKey,
        backup_id: &BackupId,
        service: &Service,
    ) -> Result<Result<BackupSet, String>, StepError> {
        Ok(self.read(key, backup_id, service).await?.map_err(|refusal| refusal.cause))
    }

    /// The description, or why it is refused. A store that cannot be read is neither.
    async fn read(
        &self,
        key: &MachineKey,
        backup_id: &BackupId,
        service: &Service,
    ) -> Result<Result<BackupSet, Refusal>, StepError> {
        let description = match get_or_not_found(
            self.control,
            &key.set_description_key(backup_id),
            LONGEST_DESCRIPTION_BYTES,
        )
        .await
        {
            Ok(bytes) => bytes,
            Err(error) => return refused_or_unavailable(error, ErrorName::SetRefused, "its description"),
        };
        let signature =
            match get_or_not_found(self.control, &key.set_signature_key(backup_id), LONGEST_SIGNATURE_BYTES)
                .await
            {
                Ok(bytes) => bytes,
                Err(error) => {
                    return refused_or_unavailable(error, ErrorName::SignatureInvalid, "its signature");
                }
            };
        if !is_signed_by_one_of(&service.signing_keys, &description, &signature) {
            return Ok(Err(refusal(
                ErrorName::SignatureInvalid,
                "its signature does not fit any of the customer's signing keys",
            )));
        }
        Ok(BackupSet::parse(&description, key, backup_id)
            .map_err(|error| refusal(ErrorName::SetRefused, error.to_string())))
    }
}

fn refused_or_unavailable(
    error: StoreError,
    name: ErrorName,
    what: &str,
) -> Result<Result<BackupSet, Refusal>, StepError> {
    match error {
        StoreError::NotFound { .. } => Ok(Err(refusal(name, format!("{what} is not in the store")))),
        StoreError::TooLarge { .. } => Ok(Err(refusal(name, error.to_string()))),
        other => Err(unavailable(other)),
    }
}

fn unavailable(error: StoreError) -> StepError {
    StepError::transient("the control bucket could not be read").because(error)
}

fn is_signed_by_one_of(keys: &[String], bytes: &[u8], signature: &[u8]) -> bool {
    let Some(signature) = std::str::from_utf8(signature).ok().and_then(|text| Signature::decode(text).ok())
    else {
        return false;
    };
    keys.iter()
        .filter_map(|key| PublicKey::decode(key).or_else(|_| PublicKey::from_base64(key)).ok())
        .any(|key| key.verify(bytes, &signature, false).is_ok())
}
