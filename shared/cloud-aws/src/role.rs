//! The role that calls are made as, and what it means that it is not granted.

use std::error::Error;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_ec2::config::ProvideCredentials;
use aws_sdk_ec2::error::ErrorMetadata;
use tokio::sync::OnceCell;

use crate::error::said;

/// The customer's log names the session.
const SESSION_NAME: &str = "rekindle";

/// What STS says when nothing but a change of the role or of the caller helps.
///
/// <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>
const FINAL: &[&str] = &["AccessDenied", "InvalidClientTokenId"];

/// The role that a customer with an account of its own lets us have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerRole {
    /// Its ARN.
    pub arn: String,
    /// What the customer's trust policy asks for, so that nobody else's deployment can be led to this role.
    ///
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html>
    pub external_id: String,
}

/// Credentials of the customer's role. The provider behind it can only be made in an async function.
#[derive(Debug)]
pub(crate) struct AssumedRole {
    config: SdkConfig,
    role: CustomerRole,
    provider: OnceCell<AssumeRoleProvider>,
}

impl AssumedRole {
    pub(crate) fn new(config: &SdkConfig, role: CustomerRole) -> Self {
        // Both are what the provider insists on, and what a configuration read from the environment has.
        let time = config.time_source().unwrap_or_default();
        let config =
            config.to_builder().behavior_version(BehaviorVersion::v2026_01_12()).time_source(time).build();
        Self { config, role, provider: OnceCell::new() }
    }

    async fn make_provider(&self) -> AssumeRoleProvider {
        AssumeRoleProvider::builder(&self.role.arn)
            .external_id(&self.role.external_id)
            .session_name(SESSION_NAME)
            .configure(&self.config)
            .build()
            .await
    }

    /// The client of EC2 tells whatever comes from here as a request that could not be sent: a refusal goes with it as
    /// one, for [`RoleRefused::under`] to find.
    fn explained(&self, error: CredentialsError) -> CredentialsError {
        match final_answer(&error) {
            Some(answer) => CredentialsError::provider_error(RoleRefused {
                role: self.role.arn.clone(),
                answer,
                source: error,
            }),
            None => error,
        }
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let provider = self.provider.get_or_init(|| self.make_provider()).await;
            provider.provide_credentials().await.map_err(|error| self.explained(error))
        })
    }
}

/// STS does not grant a role, and will not grant it to the next try.
#[derive(Debug, thiserror::Error)]
#[error(
    "the role {role} is not granted, STS answered {answer}: check that its trust policy names the role of the caller, \
     and that it asks for the external id that the caller is set up with"
)]
pub(crate) struct RoleRefused {
    role: String,
    answer: String,
    source: CredentialsError,
}

impl RoleRefused {
    /// The refusal that an error came of, where it came of one.
    pub(crate) fn under<'error>(error: &'error (dyn Error + 'static)) -> Option<&'error Self> {
        find(error)
    }
}

fn final_answer(error: &CredentialsError) -> Option<String> {
    let answer: &ErrorMetadata = find(error)?;
    let code = answer.code().filter(|code| FINAL.contains(code))?;
    Some(said(code, answer.message()))
}

fn find<'error, E: Error + 'static>(error: &'error (dyn Error + 'static)) -> Option<&'error E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}
