//! Plans: immutable data that leaves no meaningful choice to whoever carries them out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup_set::SetPosition;
use crate::configuration::RevisionId;
use crate::identity::{BackupId, Digest, Fence, ImageId, MachineKey, PlanId, RunId, ServiceKey};
use crate::quantity::Seconds;

/// What a refresh has to do, decided once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshPlan {
    /// The run that carries it out.
    pub run_id: RunId,
    /// Whose image is refreshed.
    pub machine: MachineKey,
    /// The lease's fence.
    pub fence: Fence,
    /// What the builder starts from.
    pub parent_image_id: ImageId,
    /// Whether that is the base image.
    pub from_base: bool,
    /// The sets to apply, oldest first; the last one is the new image's recovery point.
    pub sets: Vec<BackupId>,
    /// What the parent image already holds.
    pub applied: Option<SetPosition>,
    /// Where the last set stands in the machine's history.
    pub target: SetPosition,
    /// The configuration to bring the image to, when it is not the parent's.
    pub update_configuration_to: Option<RevisionId>,
    /// The configuration of the new image.
    pub revision: Option<RevisionId>,
    /// That configuration's publication counter.
    pub configuration_counter: u64,
    /// Key of the failure counter for exactly this work: set, image, revision and recipe.
    pub attempt_key: Digest,
    /// Instance types that may be used, the best one first.
    pub instance_types: Vec<String>,
    /// Zones that may be used, the best one first.
    pub zones: Vec<String>,
}

/// Why instances are started from proven images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryKind {
    /// A disaster was declared: what serves is kept whatever else fails.
    Disaster,
    /// A scheduled or asked-for exercise: everything is destroyed afterwards.
    Rehearsal,
}

/// A certain registered image that is to be recovered, in place of the newest one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetImage {
    /// The image.
    pub image_id: ImageId,
    /// The name of the SSH key that opens the replicas; none means the service's own.
    pub ssh_key_name: Option<String>,
}

/// Whether a recovery waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalPolicy {
    /// The policy's name, as it is recorded.
    pub name: String,
    /// Kinds of recovery that are approved beforehand.
    pub approved_beforehand: Vec<RecoveryKind>,
    /// How long a person has to decide; silence means no.
    pub deadline: Seconds,
}

/// A recovery plan: which image, where, in which wave. Named by the digest of its JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPlan {
    /// The run that carries it out.
    pub run_id: RunId,
    /// Why.
    pub kind: RecoveryKind,
    /// Who asked.
    pub requested_by: String,
    /// In their own words.
    pub reason: String,
    /// When the disaster was declared or the rehearsal was due: recovery time is measured from here.
    pub declared_at: Timestamp,
    /// When the plan was made.
    pub planned_at: Timestamp,
    /// Services in the order of their dependencies; a wave starts when the one before serves.
    pub waves: Vec<Wave>,
    /// Whether replicas are kept apart from production's network.
    pub isolated_network: bool,
    /// How long the recovery is predicted to take, from the launch rate and what starts took before.
    pub predicted_recovery_time: Seconds,
    /// Age of the oldest recovery point in the plan at the declaration.
    pub predicted_recovery_point: Seconds,
    /// The policy that decides about approval.
    pub approval: ApprovalPolicy,
    /// Services that cannot be recovered, each with the sentence that says why.
    pub not_recoverable: Vec<NotRecoverable>,
    /// What whoever approves has to know beyond the plan: that the register was restored, and may not know the newest
    /// images. Left out where there is nothing, so that older plans keep their digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// A service that the plan cannot recover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotRecoverable {
    /// Which service.
    pub service: ServiceKey,
    /// Why, and what to do.
    pub cause: String,
}

/// Services that start together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// The services of this wave.
    pub services: Vec<ServiceRecovery>,
}

/// One service within a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRecovery {
    /// Which service.
    pub service: ServiceKey,
    /// Its recovery time objective.
    pub recovery_time_objective: Seconds,
    /// Its recovery point objective.
    pub recovery_point_objective: Seconds,
    /// Its hosts.
    pub machines: Vec<MachineRecovery>,
}

/// One host within a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineRecovery {
    /// Which machine.
    pub machine: MachineKey,
    /// The image to start.
    pub image_id: ImageId,
    /// Everything committed before this instant comes back.
    pub recovery_point: Timestamp,
    /// Older proven images, newest first, for when the image does not boot.
    pub fallbacks: Vec<FallbackImage>,
    /// Instance types that may be used, the best one first.
    pub instance_types: Vec<String>,
    /// Zones that may be used, the best one first.
    pub zones: Vec<String>,
    /// The name of the customer's SSH key.
    pub ssh_key_name: String,
    /// When the launch may begin, counted from the start of the wave: spreads launches within the provider's budget.
    pub launch_slot: Seconds,
}

/// An older proven image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FallbackImage {
    /// The image.
    pub image_id: ImageId,
    /// What it brings back.
    pub recovery_point: Timestamp,
}

impl RecoveryPlan {
    /// The plan's name: the digest of its JSON, whose field order is fixed by this type.
    ///
    /// # Errors
    /// When the plan cannot be written as JSON, which a plan of parsed ids always can.
    pub fn plan_id(&self) -> Result<PlanId, serde_json::Error> {
        serde_json::to_vec(self).map(|bytes| Digest::of(&bytes))
    }

    /// Every machine of every wave.
    pub fn machines(&self) -> impl Iterator<Item = &MachineRecovery> {
        self.waves.iter().flat_map(|wave| wave.services.iter()).flat_map(|service| service.machines.iter())
    }

    /// The part of the plan that is about one service.
    pub fn service(&self, service: &ServiceKey) -> Option<&ServiceRecovery> {
        self.waves.iter().flat_map(|wave| wave.services.iter()).find(|part| part.service == *service)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a plan that cannot be written as JSON has failed the test")]
    use proptest::prelude::*;

    use super::*;

    fn plan(predicted: f64) -> RecoveryPlan {
        RecoveryPlan {
            run_id: RunId::mint(),
            kind: RecoveryKind::Disaster,
            requested_by: "ann".to_owned(),
            reason: "fire".to_owned(),
            declared_at: Timestamp::UNIX_EPOCH,
            planned_at: Timestamp::UNIX_EPOCH,
            waves: Vec::new(),
            isolated_network: false,
            predicted_recovery_time: Seconds(predicted),
            predicted_recovery_point: Seconds(predicted * 1.1),
            approval: ApprovalPolicy {
                name: "none".to_owned(),
                approved_beforehand: Vec::new(),
                deadline: Seconds(900.0),
            },
            not_recoverable: Vec::new(),
            warning: None,
        }
    }

    proptest! {
        #[test]
        fn a_plan_keeps_its_name_when_it_is_stored_and_read(predicted in 0.0_f64..1.0e6) {
            let plan = plan(predicted);
            let read: RecoveryPlan = serde_json::from_slice(&serde_json::to_vec(&plan).unwrap()).unwrap();
            prop_assert_eq!(read.plan_id().unwrap(), plan.plan_id().unwrap());
        }
    }
}
