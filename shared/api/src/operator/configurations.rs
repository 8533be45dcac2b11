//! Configurations: a revision that the customer has signed and stored becomes the one that images should have.

use std::collections::BTreeMap;

use rekindle_domain::configuration::RevisionId;
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{MachineId, RunId, ServiceKey};
use serde::{Deserialize, Serialize};

use super::OperatorApi;
use super::client_token::{ClientToken, request_digest};
use super::error::OperatorApiError;

/// Which configuration images of the service should have from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicationBody {
    /// By which the same request again is known.
    pub client_token: ClientToken,
    /// The version of the service that was read.
    pub version: u64,
    /// The SHA-256 of the document, as `rekindle-agent publish-configuration` shows it. The document lies in the control
    /// bucket, where this API does not read it: instances do, and obey only what the customer signed.
    pub revision: RevisionId,
}

/// A configuration that is the current one now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Published {
    /// The configuration, with its place among those of the service.
    pub configuration: CurrentConfiguration,
    /// The run by which each machine's image gets it.
    pub refreshes: BTreeMap<MachineId, RunId>,
}

impl OperatorApi {
    /// Makes a configuration the current one, and starts a refresh of each machine.
    ///
    /// # Errors
    /// When the service is not known or was changed since it was read, and when the token was used for something else.
    pub async fn publish_configuration(
        &self,
        caller: &str,
        service: &ServiceKey,
        body: &PublicationBody,
    ) -> Result<Published, OperatorApiError> {
        let known = self.known_service(service).await?.value;
        let request = request_digest("POST configurations", &(service, body))?;
        let refreshes = self.claim_refreshes(caller, &body.client_token, request, &known).await?;
        let configuration =
            self.register.publish_configuration(service, &body.revision, body.version).await?;
        self.start_refreshes(service, &refreshes).await?;
        Ok(Published { configuration, refreshes })
    }
}
