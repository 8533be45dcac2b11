//! The names that onboarding gives out, and what is still to be done before a service is protected.

use rekindle_cmdb::RegisterError;
use rekindle_domain::{CustomerId, Machine, Service, ServiceKey};
use serde::Serialize;

use super::OperatorApi;
use super::services::MachineView;

/// Where the orchestrator is deployed. One deployment serves one customer, so the names of that customer's keys and roles
/// are made from it, as `infra/customer-account.yaml` makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The stack's name.
    pub stack: String,
    /// Its Region.
    pub region: String,
    /// The customer that it serves, and no other one. None where the roles do not say whose objects may be read, as
    /// inside one process.
    pub customer: Option<CustomerId>,
}

/// Names that the customer's account uses. They follow from the deployment and the service's name, so that they are the
/// same whenever they are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names {
    /// Where the service's objects lie, in either bucket.
    pub object_prefix: String,
    /// The key that protects the customer's data.
    pub key_alias: String,
    /// The role of builders and replicas.
    pub instance_role: String,
    /// The role of the agent that takes the backups.
    pub backup_role: String,
    /// The name under which the customer's SSH public key is imported.
    pub ssh_key_name: String,
}

impl Names {
    /// The names of a service.
    pub fn of(service: &ServiceKey, deployment: &Deployment) -> Self {
        let Deployment { stack, region, customer: _ } = deployment;
        Self {
            object_prefix: format!("customers/{}/services/{}/", service.customer_id, service.service_id),
            key_alias: format!("alias/{stack}-data"),
            instance_role: format!("{stack}-{region}-instance"),
            backup_role: format!("{stack}-{region}-backup"),
            ssh_key_name: ssh_key_name(service),
        }
    }
}

fn ssh_key_name(service: &ServiceKey) -> String {
    format!("rekindle-{}-{}", service.customer_id, service.service_id)
}

impl OperatorApi {
    /// What is still to be done, one sentence each.
    pub(super) async fn missing(
        &self,
        service: &Service,
        machines: &[MachineView],
    ) -> Result<Vec<String>, RegisterError> {
        let mut missing = missing_of(service);
        for needed in &service.depends_on {
            let key = ServiceKey { service_id: needed.clone(), ..service.key.clone() };
            if self.register.service(&key).await?.is_none() {
                missing.push(format!("It depends on {needed}, which is not onboarded."));
            }
        }
        // Whoever has an image had a backup: only without one need the sets be read.
        for machine in machines.iter().filter(|machine| machine.latest_image.is_none()) {
            let key = service.key.machine(machine.machine_id.clone());
            if self.register.sets(&key).await?.is_empty() {
                missing.push(format!("No backup of {} has landed: take a full backup.", key.machine_id));
            }
        }
        Ok(missing)
    }
}

fn missing_of(service: &Service) -> Vec<String> {
    let mut missing = Vec::new();
    if service.signing_keys.is_empty() {
        missing.push("No signing key is named: without one, no backup is accepted.".to_owned());
    }
    if service.ssh_key_name.is_empty() {
        let name = ssh_key_name(&service.key);
        missing.push(format!(
            "No key pair is named: import the customer's SSH public key as {name}, and name it as ssh_key_name."
        ));
    }
    for machine in service.machines.iter().filter(|machine| machine.base_image.is_none()) {
        missing.push(no_base_image(machine));
    }
    if service.configuration.is_none() {
        missing.push(
            "No configuration is published: images hold what their base image holds; \
             `rekindle-agent publish-configuration` stores one."
                .to_owned(),
        );
    }
    missing
}

fn no_base_image(machine: &Machine) -> String {
    format!("No base image of {} is named: its first image cannot be built.", machine.machine_id)
}
