//! Starting an instance exactly once, along types and zones.

use std::sync::Arc;

use rekindle_cloud::{CloudErrorKind, CloudProvider, LaunchRequest, Purpose};
use rekindle_cmdb::{InstanceBinding, IntentResource, Register};
use rekindle_domain::{Digest, Fence, ImageId, InstanceId, Intent, IntentKind, MachineKey, RunId};
use rekindle_step::{Clock, ErrorName, StepError};

/// What is to be started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The run under whose tag.
    pub run_id: RunId,
    /// The fence of the lease that the run must still hold; none for recoveries, which hold none.
    pub fence: Option<Fence>,
    /// The step, unique within run and machine: part of what the client token is made from.
    pub step: String,
    /// Which machine.
    pub machine: MachineKey,
    /// From what.
    pub image_id: ImageId,
    /// Types that may be used, the best one first.
    pub instance_types: Vec<String>,
    /// Zones that may be used, the best one first.
    pub zones: Vec<String>,
    /// Why.
    pub purpose: Purpose,
    /// The customer's SSH key.
    pub ssh_key_name: String,
    /// Whether it is kept apart from production's network.
    pub isolated_network: bool,
}

/// An instance that was started, now or by an earlier try of the same step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The instance.
    pub instance_id: InstanceId,
}

/// Starts instances.
#[derive(Clone)]
pub struct Launcher {
    register: Register,
    cloud: Arc<dyn CloudProvider>,
    clock: Arc<dyn Clock>,
}

/// One combination of type and zone.
struct Placement {
    instance_type: String,
    zone: String,
    client_token: String,
}

impl Launcher {
    /// With the ports that it needs.
    pub fn new(register: Register, cloud: Arc<dyn CloudProvider>, clock: Arc<dyn Clock>) -> Self {
        Self { register, cloud, clock }
    }

    /// Starts the instance, or finds the one that an earlier try of the same step has started.
    ///
    /// # Errors
    /// `Cloud.NoCapacity` when no type in any zone has capacity; transient when the provider's answer is uncertain,
    /// in which case the same call finds what it may have made.
    pub async fn ensure(&self, launch: &Launch) -> Result<Started, StepError> {
        let placements = placements(launch);
        let known = self.register.intents(&launch.run_id).await.map_err(StepError::from)?;
        // An earlier try went on to the next placement only after a definitive refusal: begin where it stood.
        let reached = placements
            .iter()
            .rposition(|placement| known.iter().any(|intent| intent.name == placement.client_token))
            .unwrap_or(0);
        for placement in &placements[reached..] {
            match self.launch_at(launch, placement).await? {
                Some(started) => return Ok(started),
                None => tracing::info!(
                    zone = placement.zone,
                    instance_type = placement.instance_type,
                    "no capacity"
                ),
            }
        }
        Err(StepError::new(
            ErrorName::NoCapacity,
            format!(
                "no instance of {} could be started: the provider has no capacity for {} in {}",
                launch.machine,
                launch.instance_types.join(", "),
                shown_zones(&launch.zones)
            ),
        )
        .next_step("Add instance types or zones to the machine, or reserve capacity"))
    }

    /// One try at one placement; nothing when the provider definitively has no capacity there.
    async fn launch_at(&self, launch: &Launch, placement: &Placement) -> Result<Option<Started>, StepError> {
        let intent = Intent {
            run_id: launch.run_id.clone(),
            name: placement.client_token.clone(),
            kind: IntentKind::Instance,
            machine: launch.machine.clone(),
            at: self.clock.now(),
            instance_id: None,
            image_id: None,
        };
        self.register.write_intent(&intent, launch.fence).await.map_err(StepError::from)?;
        let request = LaunchRequest {
            client_token: placement.client_token.clone(),
            run_id: launch.run_id.clone(),
            machine: launch.machine.clone(),
            image_id: launch.image_id.clone(),
            instance_type: placement.instance_type.clone(),
            zone: placement.zone.clone(),
            purpose: launch.purpose,
            ssh_key_name: launch.ssh_key_name.clone(),
            isolated_network: launch.isolated_network,
        };
        match self.cloud.launch(&request).await {
            Ok(instance) => self.note(launch, placement, instance.instance_id).await.map(Some),
            Err(error) if error.kind == CloudErrorKind::NoCapacity => Ok(None),
            Err(error) => Err(StepError::from(error)),
        }
    }

    async fn note(
        &self,
        launch: &Launch,
        placement: &Placement,
        instance_id: InstanceId,
    ) -> Result<Started, StepError> {
        let named = IntentResource::Instance(instance_id.clone());
        self.register
            .name_intent(&launch.run_id, &placement.client_token, &named)
            .await
            .map_err(StepError::from)?;
        let purpose = match launch.purpose {
            Purpose::Builder => "builder",
            Purpose::Replica => "replica",
        };
        let binding = InstanceBinding {
            instance_id: instance_id.clone(),
            run_id: launch.run_id.clone(),
            machine: launch.machine.clone(),
            purpose: purpose.to_owned(),
            image_id: launch.image_id.clone(),
            bound_at: self.clock.now(),
        };
        self.register.bind_instance(&binding).await.map_err(StepError::from)?;
        Ok(Started { instance_id })
    }
}

/// Types in order, each in all zones: a worse zone is better than a worse type. EC2's client tokens are zonal and
/// have at most 64 characters, so each placement has one of its own: the digest of run, step, machine and place.
fn placements(launch: &Launch) -> Vec<Placement> {
    let anywhere = [String::new()];
    let zones: &[String] = if launch.zones.is_empty() { &anywhere } else { &launch.zones };
    let mut placements = Vec::new();
    for instance_type in &launch.instance_types {
        for zone in zones {
            let text = format!("{} {} {} {instance_type} {zone}", launch.run_id, launch.step, launch.machine);
            placements.push(Placement {
                instance_type: instance_type.clone(),
                zone: zone.clone(),
                client_token: Digest::of(text.as_bytes()).to_string(),
            });
        }
    }
    placements
}

fn shown_zones(zones: &[String]) -> String {
    if zones.is_empty() { "any zone".to_owned() } else { zones.join(", ") }
}
