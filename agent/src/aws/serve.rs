//! Puts AWS around an instance, and lets it serve.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use rekindle_domain::MachineKey;
use rekindle_step::StepError;
use rekindle_store_s3::S3Store;

use super::authorized_keys::install;
use super::metadata::{Metadata, PublicKey};
use super::power_off::{AfterSealing, after_sealing, power_off};
use super::{AwsSettings, CallerRole, KmsIdentity, SignedApi};
use crate::api_client::ApiClient;
use crate::buckets::Buckets;
use crate::configuration::AgentConfiguration;
use crate::error::failed;
use crate::identity::IdentitySource;
use crate::jobs::{self, Instance, KnownOutside};
use crate::places::Places;
use crate::run::RunArguments;

/// Credentials from the environment, a profile or the instance metadata, in this order; endpoints as
/// `AWS_ENDPOINT_URL` and its per-service forms say.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>
pub(super) async fn sdk_config(region: Option<&str>) -> SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest());
    match region {
        Some(region) => loader.region(Region::new(region.to_owned())).load().await,
        None => loader.load().await,
    }
}

/// The two buckets on S3.
pub(crate) async fn open_buckets(settings: &AwsSettings) -> Result<Buckets, StepError> {
    Ok(buckets(&sdk_config(Some(&settings.region)).await, settings))
}

fn buckets(config: &SdkConfig, settings: &AwsSettings) -> Buckets {
    Buckets::Opened {
        control: Arc::new(S3Store::new(config, &settings.control_bucket)),
        data: Arc::new(S3Store::new(config, &settings.data_bucket)),
    }
}

/// Serves until the instance is sealed, and then powers the machine off.
pub(crate) async fn serve(
    instance: Instance,
    configuration: &AgentConfiguration,
    settings: &AwsSettings,
    arguments: RunArguments,
) -> Result<(), StepError> {
    let config = sdk_config(Some(&settings.region)).await;
    let api = match &arguments.socket {
        Some(socket) => ApiClient::new(socket),
        None => ApiClient::signed(signed_api(&config, settings).await?),
    };
    let identity = identity(&config, &instance.places, settings, &configuration.machine)?;
    let instance = Instance {
        buckets: buckets(&config, settings),
        identity: IdentitySource::Kms(identity),
        known: known_outside(&instance.places, &arguments.login_user).await,
        ..instance
    };
    jobs::serve(&instance, &api).await?;
    match after_sealing(instance.places.root(), &arguments.power_off) {
        AfterSealing::PowerOff(command) => power_off(&command).await,
        AfterSealing::Exit => Ok(()),
    }
}

async fn signed_api(config: &SdkConfig, settings: &AwsSettings) -> Result<SignedApi, StepError> {
    let address = settings.agent_api.as_deref().ok_or_else(|| incomplete("agent_api"))?;
    SignedApi::new(address, &settings.region, api_credentials(config, settings).await?)
}

/// The instance's own, or those of a role in the account of the API.
async fn api_credentials(
    config: &SdkConfig,
    settings: &AwsSettings,
) -> Result<SharedCredentialsProvider, StepError> {
    let Some(arn) = settings.agent_api_role.clone() else {
        return config
            .credentials_provider()
            .ok_or_else(|| failed("there is no provider of AWS credentials on this machine"));
    };
    let instance_id = Metadata::reach()?.instance_id().await?;
    let role = CallerRole { arn, external_id: settings.agent_api_external_id.clone(), instance_id };
    Ok(role.credentials(config).await)
}

fn identity(
    config: &SdkConfig,
    places: &Places,
    settings: &AwsSettings,
    machine: &MachineKey,
) -> Result<KmsIdentity, StepError> {
    let path = settings.identity.as_deref().ok_or_else(|| incomplete("identity"))?;
    Ok(KmsIdentity::new(aws_sdk_kms::Client::new(config), places.inside(path), machine))
}

fn incomplete(name: &str) -> StepError {
    failed(format!("the table [aws] of agent.toml has no {name}, which an instance needs"))
        .next_step("Add it, as the outputs of the template name it, or make the image anew")
}

/// What the instance metadata say. Outside of EC2 there are none, and the agent serves without them.
async fn known_outside(places: &Places, login_user: &str) -> KnownOutside {
    let keys = installed_keys(places, login_user).await.unwrap_or_else(|error| {
        tracing::warn!(error = error.chain(), "no SSH key of the instance metadata is installed");
        Vec::new()
    });
    KnownOutside {
        address: super::metadata::private_address(),
        ssh_key_names: Some(keys.into_iter().map(|key| key.name).collect()),
    }
}

async fn installed_keys(places: &Places, login_user: &str) -> Result<Vec<PublicKey>, StepError> {
    let keys = Metadata::reach()?.public_keys().await?;
    install(places, login_user, &keys)?;
    Ok(keys)
}
