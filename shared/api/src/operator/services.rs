//! Services: the list, and one with all that a person asks about it.

use jiff::Timestamp;
use rekindle_cmdb::{FailedVerdict, Versioned};
use rekindle_domain::{
    CustomerId, ImageId, ImageVerdict, Machine, MachineId, Objectives, RunId, Service, ServiceId, ServiceKey,
};
use serde::Serialize;

use super::OperatorApi;
use super::code::Code;
use super::cursor::{List, PageQuery, list};
use super::error::OperatorApiError;
use super::names::Names;
use super::readiness::Readiness;

/// A service in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceSummary {
    /// Which service.
    pub service_id: ServiceId,
    /// What people call it.
    pub display_name: String,
    /// What the business asked for.
    pub objectives: Objectives,
    /// What must serve before it can.
    pub depends_on: Vec<ServiceId>,
    /// Its hosts.
    pub machines: Vec<MachineId>,
}

/// A service with its state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceView {
    /// What is registered.
    pub service: Service,
    /// What a change has to name.
    pub version: u64,
    /// The names that it uses.
    pub names: Names,
    /// Its machines and their newest images.
    pub machines: Vec<MachineView>,
    /// What a recovery would bring back now.
    pub readiness: Readiness,
    /// What is still to be done.
    pub missing: Vec<String>,
}

/// A machine with its newest image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineView {
    /// Which machine.
    pub machine_id: MachineId,
    /// Its newest image.
    pub latest_image: Option<LatestImage>,
    /// Its newest failed refresh, which may be older than the image.
    pub newest_failure: Option<FailedVerdict>,
    /// The run that refreshes it now.
    pub refreshed_by: Option<RunId>,
}

/// The newest image of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LatestImage {
    /// The image.
    pub image_id: ImageId,
    /// Everything committed before this instant is inside.
    pub recovery_point: Timestamp,
    /// How far it is proven.
    pub verdict: ImageVerdict,
    /// What was proven, in one sentence.
    pub proof: String,
    /// Since when it can be started.
    pub available_at: Timestamp,
}

impl From<Service> for ServiceSummary {
    fn from(service: Service) -> Self {
        Self {
            service_id: service.key.service_id,
            display_name: service.display_name,
            objectives: service.objectives,
            depends_on: service.depends_on,
            machines: service.machines.into_iter().map(|machine| machine.machine_id).collect(),
        }
    }
}

impl OperatorApi {
    /// Services of a customer, by name.
    ///
    /// # Errors
    /// When there is no such customer, or the page is not one of this list.
    pub async fn services(
        &self,
        customer: &CustomerId,
        query: &PageQuery,
    ) -> Result<List<ServiceSummary>, OperatorApiError> {
        let name = format!("services {customer}");
        let (limit, after) = (query.limit()?, query.position(&name)?);
        self.known_customer(customer).await?;
        let page = self.register.services_page(customer, limit, after.as_deref()).await;
        let List { items, next } = list(&name, page)?;
        Ok(List { items: items.into_iter().map(ServiceSummary::from).collect(), next })
    }

    /// A service with its machines, its readiness, and what is still to be done.
    ///
    /// # Errors
    /// When there is no such service.
    pub async fn service(&self, key: &ServiceKey) -> Result<ServiceView, OperatorApiError> {
        let Versioned { value: service, version } = self.known_service(key).await?;
        let mut machines = Vec::with_capacity(service.machines.len());
        for machine in &service.machines {
            machines.push(self.machine_view(&service, machine).await?);
        }
        let readiness = self.readiness(&service).await?;
        let missing = self.missing(&service, &machines).await?;
        Ok(ServiceView {
            names: Names::of(key, &self.deployment),
            service,
            version,
            machines,
            readiness,
            missing,
        })
    }

    async fn machine_view(
        &self,
        service: &Service,
        machine: &Machine,
    ) -> Result<MachineView, OperatorApiError> {
        let key = service.key.machine(machine.machine_id.clone());
        let state = self.register.machine_state(&key).await?;
        let image = match &state.newest {
            Some(newest) => self.register.image(&key, &newest.image_id).await?,
            None => None,
        };
        Ok(MachineView {
            machine_id: machine.machine_id.clone(),
            latest_image: image.map(|image| LatestImage {
                proof: image.evidence.sentence(),
                image_id: image.image_id,
                recovery_point: image.recovery_point,
                verdict: image.verdict,
                available_at: image.available_at,
            }),
            newest_failure: state.newest_failure,
            refreshed_by: state.lease.map(|lease| lease.run_id),
        })
    }

    pub(super) async fn known_service(
        &self,
        key: &ServiceKey,
    ) -> Result<Versioned<Service>, OperatorApiError> {
        let service = self.register.service(key).await?;
        service
            .ok_or_else(|| OperatorApiError::new(Code::ServiceUnknown, format!("There is no service {key}.")))
    }

    pub(super) async fn known_customer(&self, customer: &CustomerId) -> Result<(), OperatorApiError> {
        if self.register.is_customer(customer).await? {
            return Ok(());
        }
        let detail = format!("There is no customer {customer}: its first service makes it known.");
        Err(OperatorApiError::new(Code::CustomerUnknown, detail))
    }
}
