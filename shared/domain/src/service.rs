//! What is protected, and how well it has to be.

use serde::{Deserialize, Deserializer, Serialize};

use crate::configuration::RevisionId;
use crate::identity::{ImageId, MachineId, ServiceId, ServiceKey};
use crate::plan::ApprovalPolicy;
use crate::quantity::Seconds;

/// An IT service of a customer, as the Target CMDB knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its identity.
    pub key: ServiceKey,
    /// What people call it.
    pub display_name: String,
    /// How soon it must serve again, and how much data may be lost.
    pub objectives: Objectives,
    /// Services of the same customer that must serve before this one can.
    pub depends_on: Vec<ServiceId>,
    /// Its hosts.
    pub machines: Vec<Machine>,
    /// The name under which the cloud provider knows the customer's SSH public key.
    pub ssh_key_name: String,
    /// Public minisign keys of the customer: whatever an agent obeys is signed with one of them.
    pub signing_keys: Vec<String>,
    /// The configuration that images of this service should have; none before the first one was published.
    pub configuration: Option<CurrentConfiguration>,
    /// Whether recoveries wait for a person.
    pub approval: ApprovalPolicy,
    /// How many builders this service may run at the same time.
    pub concurrent_builders: u32,
}

/// The newest published configuration of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrentConfiguration {
    /// Its content, named by its digest.
    pub revision: RevisionId,
    /// Grows by one with each publication, so that two revisions can be ordered.
    pub counter: u64,
}

/// One host of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name within the service.
    pub machine_id: MachineId,
    /// What its first image is built from; none before the customer has built one, since it holds names that onboarding
    /// gives out.
    #[serde(default, deserialize_with = "base_image")]
    pub base_image: Option<ImageId>,
    /// Instance types that may serve, the best one first.
    pub instance_types: Vec<String>,
    /// Zones that may host it, the best one first.
    pub zones: Vec<String>,
}

/// What the version before wrote where there was no base image: no provider's id, and nothing to be launched.
const NO_BASE_IMAGE: &str = "none";

fn base_image<'de, D: Deserializer<'de>>(value: D) -> Result<Option<ImageId>, D::Error> {
    let image = Option::<ImageId>::deserialize(value)?;
    Ok(image.filter(|image| image.as_str() != NO_BASE_IMAGE))
}

/// What the business asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Recovery time objective: from the declaration until the service answers.
    pub recovery_time: Seconds,
    /// Recovery point objective: the newest data that may be lost.
    pub recovery_point: Seconds,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a machine that cannot be read has failed the test")]
    use super::*;

    /// What is registered outlives the version that wrote it.
    #[test]
    fn a_machine_is_read_with_and_without_a_base_image() {
        let read = |base_image: &str| -> Machine {
            let text = format!(
                r#"{{"machine_id":"database",{base_image}"instance_types":["m7i.large"],"zones":[]}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let named = read(r#""base_image":"ami-base","#);
        assert_eq!(named.base_image, Some(ImageId::parse("ami-base").unwrap()));
        for none in ["", r#""base_image":null,"#, r#""base_image":"none","#] {
            assert_eq!(read(none).base_image, None, "{none}");
        }
    }
}
