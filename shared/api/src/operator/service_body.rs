//! A service as an operator writes it: every list and every text has a bound.

use std::collections::BTreeSet;

use rekindle_domain::{
    ApprovalPolicy, CustomerId, ImageId, Machine, MachineId, Objectives, RecoveryKind, Seconds, Service,
    ServiceId, ServiceKey,
};
use serde::{Deserialize, Serialize};

use super::error::OperatorApiError;
use crate::plain_text::{LONGEST_NAME, plain};

const MOST_MACHINES: usize = 32;
const MOST_DEPENDENCIES: usize = 64;
const MOST_CHOICES: usize = 20;
const MOST_KEYS: usize = 16;
const MOST_BUILDERS: u32 = 100;
/// Ten years: what is longer is a mistake.
const LONGEST_SPAN: f64 = 10.0 * 366.0 * 86_400.0;

/// A service as it is onboarded or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceBody {
    /// Whose service.
    pub customer_id: CustomerId,
    /// Which service.
    pub service_id: ServiceId,
    /// What people call it.
    pub display_name: String,
    /// What the business asked for, in seconds.
    pub objectives: Objectives,
    /// Services of the same customer that must serve first.
    #[serde(default)]
    pub depends_on: Vec<ServiceId>,
    /// Its hosts.
    pub machines: Vec<MachineBody>,
    /// The name of the customer's key pair; none while there is none.
    #[serde(default)]
    pub ssh_key_name: Option<String>,
    /// The customer's public minisign keys.
    #[serde(default)]
    pub signing_keys: Vec<String>,
    /// Whether recoveries wait for a person; where nothing is said, disasters do and rehearsals do not.
    #[serde(default = "usual_approval")]
    pub approval: ApprovalPolicy,
    /// How many builders may run at the same time.
    #[serde(default = "one")]
    pub concurrent_builders: u32,
}

/// A host as it is onboarded or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineBody {
    /// Its name within the service.
    pub machine_id: MachineId,
    /// What its first image is built from; none while there is none.
    #[serde(default)]
    pub base_image: Option<ImageId>,
    /// Instance types that may serve, the best one first.
    pub instance_types: Vec<String>,
    /// Zones that may host it, the best one first.
    pub zones: Vec<String>,
}

fn usual_approval() -> ApprovalPolicy {
    ApprovalPolicy {
        name: "a-person-approves-disasters".to_owned(),
        approved_beforehand: vec![RecoveryKind::Rehearsal],
        deadline: Seconds(3_600.0),
    }
}

fn one() -> u32 {
    1
}

impl ServiceBody {
    /// The service that is described, with the configuration of the one that it replaces.
    pub(super) fn checked(&self, replaced: Option<&Service>) -> Result<Service, OperatorApiError> {
        self.check_texts()?;
        self.check_numbers()?;
        let key = ServiceKey { customer_id: self.customer_id.clone(), service_id: self.service_id.clone() };
        if let Some(replaced) = replaced {
            self.check_replaced(&key, replaced)?;
        }
        Ok(Service {
            display_name: self.display_name.clone(),
            objectives: self.objectives,
            depends_on: self.depends_on.clone(),
            machines: self.machines()?,
            ssh_key_name: self.ssh_key_name.clone().unwrap_or_default(),
            signing_keys: self.signing_keys.clone(),
            configuration: replaced.and_then(|service| service.configuration.clone()),
            approval: self.approval.clone(),
            concurrent_builders: self.concurrent_builders,
            key,
        })
    }

    /// Images and runs belong to machines by name: one that is left out would be forgotten, not ended.
    fn check_replaced(&self, key: &ServiceKey, replaced: &Service) -> Result<(), OperatorApiError> {
        if replaced.key != *key {
            return Err(invalid("The body names another service than the address."));
        }
        let stays = |machine: &Machine| self.machines.iter().any(|own| own.machine_id == machine.machine_id);
        match replaced.machines.iter().find(|machine| !stays(machine)) {
            Some(lost) => Err(invalid(format!("The machine {} is missing.", lost.machine_id))),
            None => Ok(()),
        }
    }

    fn check_texts(&self) -> Result<(), OperatorApiError> {
        let name = plain(&self.display_name, LONGEST_NAME);
        if name.trim().is_empty() || name != self.display_name {
            return Err(invalid("display_name is not 1 to 255 characters that can be shown."));
        }
        if self.ssh_key_name.as_ref().is_some_and(|name| !is_text(name, LONGEST_NAME)) {
            return Err(invalid("ssh_key_name is not 1 to 255 ASCII characters."));
        }
        if self.signing_keys.len() > MOST_KEYS || !self.signing_keys.iter().all(|key| is_text(key, 256)) {
            return Err(invalid(format!("signing_keys are at most {MOST_KEYS}, each one line.")));
        }
        if !is_text(&self.approval.name, LONGEST_NAME) {
            return Err(invalid("approval.name is not 1 to 255 ASCII characters."));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), OperatorApiError> {
        let spans = [self.objectives.recovery_time, self.objectives.recovery_point, self.approval.deadline];
        if !spans.iter().all(|span| span.0 > 0.0 && span.0 <= LONGEST_SPAN) {
            return Err(invalid("Objectives and deadlines are seconds, more than 0 and at most ten years."));
        }
        if !(1..=MOST_BUILDERS).contains(&self.concurrent_builders) {
            return Err(invalid(format!("concurrent_builders is 1 to {MOST_BUILDERS}.")));
        }
        if self.depends_on.len() > MOST_DEPENDENCIES || self.depends_on.contains(&self.service_id) {
            return Err(invalid(format!(
                "depends_on names at most {MOST_DEPENDENCIES} services, and not the service itself."
            )));
        }
        Ok(())
    }

    fn machines(&self) -> Result<Vec<Machine>, OperatorApiError> {
        let names: BTreeSet<&MachineId> = self.machines.iter().map(|machine| &machine.machine_id).collect();
        if names.len() != self.machines.len() || !(1..=MOST_MACHINES).contains(&names.len()) {
            return Err(invalid(format!("machines are 1 to {MOST_MACHINES}, each with a name of its own.")));
        }
        self.machines.iter().map(MachineBody::checked).collect()
    }
}

impl MachineBody {
    fn checked(&self) -> Result<Machine, OperatorApiError> {
        for (name, choices) in [("instance_types", &self.instance_types), ("zones", &self.zones)] {
            let good = choices.iter().all(|choice| is_text(choice, 63));
            if !good || !(1..=MOST_CHOICES).contains(&choices.len()) {
                return Err(invalid(format!("{name} of {} are 1 to {MOST_CHOICES} names.", self.machine_id)));
            }
        }
        Ok(Machine {
            machine_id: self.machine_id.clone(),
            base_image: self.base_image.clone(),
            instance_types: self.instance_types.clone(),
            zones: self.zones.clone(),
        })
    }
}

fn is_text(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

fn invalid(detail: impl AsRef<str>) -> OperatorApiError {
    OperatorApiError::invalid(detail)
}
