//! Onboarding: a service becomes known, its names are given out, and its machines are looked at for the first time.

use std::collections::BTreeMap;

use rekindle_cmdb::{RegisterError, Versioned};
use rekindle_domain::{MachineId, RunId, Service, ServiceKey};
use serde::{Deserialize, Serialize};

use super::OperatorApi;
use super::client_token::{ClientToken, request_digest};
use super::code::Code;
use super::error::OperatorApiError;
use super::service_body::ServiceBody;
use super::services::ServiceView;

/// A service to be protected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnboardingBody {
    /// By which the same request again is known.
    pub client_token: ClientToken,
    /// The service.
    pub service: ServiceBody,
}

/// A service in place of the one that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// The version that was read.
    pub version: u64,
    /// What it is to be.
    pub service: ServiceBody,
}

/// A service that is known now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Onboarded {
    /// The service, with its names and with what is still to be done.
    #[serde(flatten)]
    pub view: ServiceView,
    /// The first refresh of each machine: it ends at once where no backup has landed.
    pub refreshes: BTreeMap<MachineId, RunId>,
}

impl OperatorApi {
    /// Makes a service known, and starts the first refresh of each machine. Onboarding the same service again, with the
    /// same client token or with another one, changes nothing.
    ///
    /// # Errors
    /// When the service is another customer's than the deployment's, when it exists with another content, and when the
    /// token was used for something else.
    pub async fn onboard(&self, caller: &str, body: &OnboardingBody) -> Result<Onboarded, OperatorApiError> {
        let service = body.service.checked(None)?;
        self.refuse_foreign(&service.key)?;
        let request = request_digest("POST /v1/services", body)?;
        let refreshes = self.claim_refreshes(caller, &body.client_token, request, &service).await?;
        self.put_new(&service).await?;
        self.start_refreshes(&service.key, &refreshes).await?;
        Ok(Onboarded { view: self.service(&service.key).await?, refreshes })
    }

    /// The functions may read and write what belongs to the deployment's customer. A service of another name would have
    /// every sweep fail on it.
    fn refuse_foreign(&self, service: &ServiceKey) -> Result<(), OperatorApiError> {
        match &self.deployment.customer {
            Some(own) if *own != service.customer_id => {
                let detail = format!(
                    "This deployment serves the customer {own} and not {}. Use {own}, or deploy a stack for the other one.",
                    service.customer_id
                );
                Err(OperatorApiError::new(Code::CustomerForeign, detail))
            }
            _ => Ok(()),
        }
    }

    /// The customer first: a service whose customer is not in the list would be swept by nobody.
    async fn put_new(&self, service: &Service) -> Result<(), OperatorApiError> {
        self.register.put_customer(&service.key.customer_id).await?;
        match self.register.put_service(service, None).await {
            Ok(_) => Ok(()),
            Err(RegisterError::VersionMoved { .. }) => self.same_content(service).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Configurations are published by the customer, and are no part of what is onboarded.
    async fn same_content(&self, service: &Service) -> Result<(), OperatorApiError> {
        let Versioned { value: stored, .. } = self.known_service(&service.key).await?;
        if (Service { configuration: None, ..stored }) == *service {
            return Ok(());
        }
        let detail =
            format!("{} is onboarded already, with another content. Read it, and change it.", service.key);
        Err(OperatorApiError::new(Code::ServiceExists, detail))
    }

    /// Puts a service in place of the version that was read.
    ///
    /// # Errors
    /// When another version is stored than the one named, and when a machine would be lost.
    pub async fn change_service(
        &self,
        key: &ServiceKey,
        body: &ChangeBody,
    ) -> Result<ServiceView, OperatorApiError> {
        let Versioned { value: stored, .. } = self.known_service(key).await?;
        let service = body.service.checked(Some(&stored))?;
        self.register.put_service(&service, Some(body.version)).await?;
        self.service(key).await
    }
}
