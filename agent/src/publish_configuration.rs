//! `rekindle-agent publish-configuration`: signs a service's configuration and lays it into the control bucket.

use std::io::Cursor;
use std::path::PathBuf;

use rekindle_domain::configuration::LONGEST_DOCUMENT_BYTES;
use rekindle_domain::{Digest, RevisionId, ServiceKey};
use rekindle_step::StepError;
use rekindle_store::ObjectStore;
use serde::Serialize;

use crate::buckets::{Bucket, open_configured, open_folder};
use crate::configuration::AgentConfiguration;
use crate::error::failed;
use crate::files::read_bounded;
use crate::jobs::{admit_document, configuration_keys};
use crate::keys::SigningKey;
use crate::places::Places;
use crate::transfer::store_error;

#[derive(Debug, clap::Args)]
pub(crate) struct PublishConfigurationArguments {
    /// The configuration document, JSON.
    document: PathBuf,
    /// The key that signs it.
    #[arg(long)]
    signing_key: PathBuf,
    /// The agent's configuration, where it is not at its usual place.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The folder of the control bucket, where it is not the one that agent.toml names.
    #[arg(long)]
    control: Option<PathBuf>,
    /// Show the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Published {
    service: ServiceKey,
    revision: RevisionId,
}

/// Publishes a document, and gives what is to be said about it.
pub(crate) async fn publish_configuration(
    places: Places,
    arguments: PublishConfigurationArguments,
) -> Result<String, StepError> {
    let path = arguments.config.clone().unwrap_or_else(|| places.configuration());
    let configuration = AgentConfiguration::read(&path)?;
    let signing_key = SigningKey::read(&arguments.signing_key)?;
    let document = read_bounded(&arguments.document, LONGEST_DOCUMENT_BYTES)?
        .ok_or_else(|| failed(format!("there is no {}", arguments.document.display())))?;
    let control = match &arguments.control {
        Some(folder) => open_folder(folder)?,
        None => open_configured(&configuration, "Give --control").await?.get(&places, Bucket::Control)?,
    };
    let service = configuration.machine.service();
    let revision = publish(control.as_ref(), &signing_key, &service, document).await?;
    say(&Published { service, revision }, arguments.json)
}

/// Signs a configuration document and stores it under its digest. Nobody uses it before the service names its revision.
///
/// # Errors
/// `Agent.ConfigurationRefused` when an instance would refuse it; and when it cannot be stored.
pub async fn publish(
    control: &dyn ObjectStore,
    signing_key: &SigningKey,
    service: &ServiceKey,
    document: Vec<u8>,
) -> Result<RevisionId, StepError> {
    let revision = Digest::of(&document);
    admit_document(&document, service, &revision, None)?;
    let keys = configuration_keys(service, &revision)?;
    let signature = signing_key.sign(&document, &format!("configuration of {service}"))?;
    for (key, bytes) in [(keys.signature, signature.into_bytes()), (keys.document, document)] {
        control.put(&key, Box::pin(Cursor::new(bytes))).await.map_err(store_error)?;
    }
    Ok(revision)
}

fn say(published: &Published, json: bool) -> Result<String, StepError> {
    if json {
        return serde_json::to_string(published)
            .map_err(|error| failed("writing the result failed").because(error));
    }
    let Published { service, revision } = published;
    let address =
        format!("/v1/customers/{}/services/{}/configurations", service.customer_id, service.service_id);
    Ok(format!("revision {revision} is stored; make it the current one with POST {address}"))
}
