//! How a register knows that it is the one it was: a restored table believes in a past that is over.
//!
//! An item of the table holds the identity of the table that it was written into, an epoch, and a mark that grows as
//! long as the register lives. A restore brings the item back into another table, or an old mark into the same one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::{CustomerId, Digest, ImageId, MachineKey, RunId};
use crate::image::Image;
use crate::object_key::{ObjectKey, ObjectKeyError};

/// Fences of an epoch begin here times its number: a builder of an earlier epoch can never have one as high. Whole
/// numbers of this size pass through state machines unchanged for a million epochs.
pub const FENCES_PER_EPOCH: u64 = 1_000_000_000;

/// What the register says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterEpoch {
    /// The table that this was written into, as the database names it: never the same for two tables.
    pub table_id: String,
    /// Grows by one with each rebuild.
    pub epoch: u64,
    /// Grows while the register lives, within its epoch.
    pub mark: u64,
    /// When the mark grew last.
    pub marked_at: Timestamp,
    /// One sentence: how somebody found out that the register was restored. For those who cannot find out themselves.
    pub restored: Option<String>,
}

/// How far the register had come, as the control bucket remembers it: a restored table does not change the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochWitness {
    /// The epoch.
    pub epoch: u64,
    /// The mark within it.
    pub mark: u64,
}

impl RegisterEpoch {
    /// How far the register has come.
    pub fn progress(&self) -> EpochWitness {
        EpochWitness { epoch: self.epoch, mark: self.mark }
    }
}

/// The version of the manifest's format.
pub const MANIFEST_SCHEMA_VERSION: u32 = 1;

/// What the control bucket keeps of a registered image, so that a register that has forgotten it can take it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageManifest {
    /// [`MANIFEST_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The image as it was registered, with the evidence.
    pub image: Image,
    /// When its run began.
    pub started_at: Timestamp,
}

/// An image that is there and that the register cannot vouch for. It is kept for days, and never offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantinedImage {
    /// Whose image its tag says it is.
    pub machine: MachineKey,
    /// The image.
    pub image_id: ImageId,
    /// The run that its tag names.
    pub run_id: RunId,
    /// One sentence: what is missing.
    pub cause: String,
    /// When it was found.
    pub found_at: Timestamp,
    /// It is not deleted before.
    pub until: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl QuarantinedImage {
    /// Whether it is to be there still.
    pub fn is_kept(&self) -> bool {
        self.deleted_at.is_none()
    }
}

/// What a rebuild is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebuildMode {
    /// Say what would be done.
    DryRun,
    /// Do it, and let the register be the current one again.
    Act,
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebuildState {
    /// The next sweep begins it.
    Requested,
    /// Begun; every sweep goes on with it.
    Acting,
    /// A dry run: its findings are shown.
    Shown,
    /// What is there is no longer what was confirmed. Nothing was done, or not all; the note says which.
    Changed,
    /// The register is the current one.
    Done,
}

/// A rebuild of the register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebuild {
    /// Its id.
    pub rebuild_id: RunId,
    /// The table that it is for: a restored table may hold a rebuild of the past.
    pub table_id: String,
    /// What was asked for.
    pub mode: RebuildMode,
    /// For [`RebuildMode::Act`]: the digest of the findings that a person has seen.
    pub confirmed: Option<Digest>,
    /// Who asked.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// How far it is.
    pub state: RebuildState,
    /// Why it does not get on, or how it ended, in one sentence.
    pub note: String,
    /// When it came to its state.
    pub at: Timestamp,
    /// What was found; for one that acts, when it began to.
    pub findings: Option<RebuildFindings>,
    /// The digest of the findings, to be confirmed.
    pub findings_digest: Option<Digest>,
}

impl Rebuild {
    /// Whether a sweep has work with it.
    pub fn is_at_work(&self) -> bool {
        matches!(self.state, RebuildState::Requested | RebuildState::Acting)
    }
}

/// Everything that does not agree between the register and what is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebuildFindings {
    /// One entry for each machine of the register.
    pub machines: Vec<MachineFindings>,
    /// Machines with manifests that the register does not know: onboard their services again.
    pub unknown_machines: Vec<MachineKey>,
    /// Recoveries that the register believes to have started nothing, and that have replicas: they are kept.
    pub kept_recoveries: Vec<RunId>,
    /// Runs that are at work: they are waited for.
    pub at_work: Vec<RunId>,
}

/// What does not agree about one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineFindings {
    /// Which machine.
    pub machine: MachineKey,
    /// Proven images that the register has forgotten: it takes them back.
    pub adopt: Vec<FoundImage>,
    /// Images without proof: they are kept apart for days.
    pub quarantine: Vec<DoubtfulImage>,
    /// Registered images that the provider does not have. Nothing is done about them.
    pub missing: Vec<ImageId>,
    /// Runs that the register believes open and nobody carries out: they are closed.
    pub close: Vec<RunId>,
    /// Refreshes that the register has forgotten and that left something: they are recorded as closed, and the sweep
    /// cleans up after them.
    pub clean_up: Vec<RunId>,
    /// Instances of runs that the register has forgotten and that may serve: a person decides.
    pub keep: Vec<KeptInstance>,
    /// Who holds the machine's lease by mistake: it is taken away.
    pub release: Option<RunId>,
}

/// An image that can be adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundImage {
    /// The image.
    pub image_id: ImageId,
    /// The run that made it.
    pub run_id: RunId,
    /// Everything committed before this instant is inside.
    pub recovery_point: Timestamp,
}

/// An image that cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoubtfulImage {
    /// The image.
    pub image_id: ImageId,
    /// The run that its tag names.
    pub run_id: RunId,
    /// One sentence: what is missing.
    pub cause: String,
}

/// An instance that is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptInstance {
    /// The provider's id.
    pub instance_id: String,
    /// The run that its tag names.
    pub run_id: RunId,
}

impl RebuildFindings {
    /// The name of these findings. The register of one moment and the cloud of one moment have the same ones.
    ///
    /// # Errors
    /// When they cannot be written as JSON, which findings of parsed ids always can.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        serde_json::to_vec(self).map(|bytes| Digest::of(&bytes))
    }
}

impl CustomerId {
    /// Where the control bucket keeps what the register must not forget; ends with a slash. Only the orchestrator
    /// writes there.
    pub fn register_prefix(&self) -> String {
        format!("customers/{self}/register/")
    }

    /// Where the control bucket remembers how far the register has come.
    ///
    /// # Errors
    /// Never for ids that were parsed; the type asks for it.
    pub fn epoch_key(&self) -> Result<ObjectKey, ObjectKeyError> {
        ObjectKey::parse(&format!("{}epoch.json", self.register_prefix()))
    }

    /// Where the manifests of all images lie; ends with a slash.
    pub fn manifests_prefix(&self) -> String {
        format!("{}images/", self.register_prefix())
    }
}

impl MachineKey {
    /// Where the manifest of the image of a run lies.
    ///
    /// # Errors
    /// Never for ids that were parsed; the type asks for it.
    pub fn manifest_key(&self, run_id: &RunId) -> Result<ObjectKey, ObjectKeyError> {
        let prefix = self.customer_id.manifests_prefix();
        ObjectKey::parse(&format!("{prefix}{}/{}/{run_id}.json", self.service_id, self.machine_id))
    }

    /// The machine and the run whose manifest has this key, if it is the key of a manifest.
    pub fn of_manifest(key: &ObjectKey) -> Option<(Self, RunId)> {
        let segments: Vec<&str> = key.as_str().split('/').collect();
        let ["customers", customer, "register", "images", service, machine, file] = segments.as_slice()
        else {
            return None;
        };
        let machine = Self::parse(&format!("{customer}/{service}/{machine}")).ok()?;
        Some((machine, RunId::parse(file.strip_suffix(".json")?).ok()?))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot parse its own keys has failed")]
    use super::*;

    #[test]
    fn a_manifest_key_names_its_machine_and_run() {
        let machine = MachineKey::parse("acme/orders/database").unwrap();
        let run_id = RunId::mint();
        let key = machine.manifest_key(&run_id).unwrap();
        assert!(key.is_under(&machine.customer_id.manifests_prefix()));
        assert_eq!(MachineKey::of_manifest(&key), Some((machine.clone(), run_id)));
        assert_eq!(MachineKey::of_manifest(&machine.customer_id.epoch_key().unwrap()), None);
    }

    #[test]
    fn a_later_epoch_is_further_whatever_its_mark() {
        assert!(EpochWitness { epoch: 2, mark: 0 } > EpochWitness { epoch: 1, mark: 99 });
        assert!(EpochWitness { epoch: 2, mark: 1 } > EpochWitness { epoch: 2, mark: 0 });
    }
}
