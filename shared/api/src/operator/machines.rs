//! Machines: their images, and refreshes that a person asks for.

use std::collections::BTreeMap;

use rekindle_cmdb::ClientClaim;
use rekindle_domain::{Digest, Image, MachineId, MachineKey, RunId, Service, ServiceKey};
use rekindle_requests::refresh::start_refresh;
use serde::{Deserialize, Serialize};

use super::OperatorApi;
use super::client_token::{ClientToken, request_digest};
use super::code::Code;
use super::cursor::{List, PageQuery, list};
use super::error::OperatorApiError;

/// What asks for a refresh. It may be empty: one refresh too many finds nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    /// By which the same request again is known.
    #[serde(default)]
    pub client_token: Option<ClientToken>,
}

/// A run that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Started {
    /// The run.
    pub run_id: RunId,
}

impl OperatorApi {
    /// Images of a machine, the newest first.
    ///
    /// # Errors
    /// When there is no such machine, or the page is not one of this list.
    pub async fn images(
        &self,
        machine: &MachineKey,
        query: &PageQuery,
    ) -> Result<List<Image>, OperatorApiError> {
        self.known_machine(machine).await?;
        let name = format!("images {machine}");
        let (limit, after) = (query.limit()?, query.position(&name)?);
        list(&name, self.register.images_page(machine, limit, after.as_deref()).await)
    }

    /// Starts a refresh of a machine.
    ///
    /// # Errors
    /// When there is no such machine, or the engine does not take it.
    pub async fn refresh(
        &self,
        caller: &str,
        machine: &MachineKey,
        body: &RefreshBody,
    ) -> Result<Started, OperatorApiError> {
        self.known_machine(machine).await?;
        let mut run_id = RunId::mint();
        if let Some(token) = &body.client_token {
            let request = request_digest("POST refreshes", machine)?;
            let start = serde_json::Value::Null;
            let claim = ClientClaim { request, run_id, start, claimed_at: self.clock.now() };
            run_id = self.claim(caller, token, &claim).await?.run_id;
        }
        self.start_refresh(&run_id, machine).await?;
        Ok(Started { run_id })
    }

    pub(super) async fn start_refresh(
        &self,
        run_id: &RunId,
        machine: &MachineKey,
    ) -> Result<(), OperatorApiError> {
        let started = start_refresh(self.workflow.as_ref(), run_id, machine).await;
        started.map_err(|error| OperatorApiError::workflow(&error))
    }

    /// Uses the token for one refresh of each machine of a service, which nobody has started yet; or finds those that the
    /// same request used it for.
    pub(super) async fn claim_refreshes(
        &self,
        caller: &str,
        token: &ClientToken,
        request: Digest,
        service: &Service,
    ) -> Result<BTreeMap<MachineId, RunId>, OperatorApiError> {
        let refreshes = service.machines.iter().map(|machine| (machine.machine_id.clone(), RunId::mint()));
        let refreshes: BTreeMap<MachineId, RunId> = refreshes.collect();
        let start = serde_json::to_value(&refreshes).map_err(|error| OperatorApiError::internal(&error))?;
        let claim = ClientClaim { request, run_id: RunId::mint(), start, claimed_at: self.clock.now() };
        let claim = self.claim(caller, token, &claim).await?;
        serde_json::from_value(claim.start).map_err(|error| OperatorApiError::internal(&error))
    }

    /// Starts them, those that run already left out.
    pub(super) async fn start_refreshes(
        &self,
        service: &ServiceKey,
        refreshes: &BTreeMap<MachineId, RunId>,
    ) -> Result<(), OperatorApiError> {
        for (machine_id, run_id) in refreshes {
            self.start_refresh(run_id, &service.machine(machine_id.clone())).await?;
        }
        Ok(())
    }

    async fn known_machine(&self, machine: &MachineKey) -> Result<(), OperatorApiError> {
        let service = self.known_service(&machine.service()).await?.value;
        if service.machines.iter().any(|known| known.machine_id == machine.machine_id) {
            return Ok(());
        }
        let detail = format!("The service {} has no machine {}.", service.key, machine.machine_id);
        Err(OperatorApiError::new(Code::MachineUnknown, detail))
    }
}
