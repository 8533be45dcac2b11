//! What a function is told by its environment; the names are agreed in `docs/design/0016-on-aws.md`.

use std::sync::Arc;

use aws_config::SdkConfig;
use rekindle_cloud::CloudProvider;

use crate::cloud::Ec2Cloud;
use crate::role::CustomerRole;
use crate::settings::{LaunchSettings, SettingsError};

/// Holds the JSON of [`LaunchSettings`].
pub const LAUNCH: &str = "REKINDLE_LAUNCH";
/// Holds the ARN of the role to assume for EC2's calls, where the customer has an account of its own.
pub const CUSTOMER_ROLE: &str = "REKINDLE_CUSTOMER_ROLE";
/// Holds the external id that this role asks for.
pub const CUSTOMER_EXTERNAL_ID: &str = "REKINDLE_CUSTOMER_EXTERNAL_ID";

impl Ec2Cloud {
    /// The cloud that a function's environment describes.
    ///
    /// # Errors
    /// A sentence that names the variable which is missing or unreadable.
    pub fn from_environment(
        config: &SdkConfig,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Arc<dyn CloudProvider>, SettingsError> {
        // A template cannot leave a variable out, but it can leave it empty.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let json = variable(LAUNCH).ok_or_else(|| SettingsError::new(LAUNCH, "is not set"))?;
        let settings = LaunchSettings::parse(LAUNCH, &json)?;
        let role = customer_role(variable(CUSTOMER_ROLE), variable(CUSTOMER_EXTERNAL_ID))?;
        Ok(Arc::new(Self::new(config, settings, role)))
    }
}

fn customer_role(
    role: Option<String>,
    external_id: Option<String>,
) -> Result<Option<CustomerRole>, SettingsError> {
    match (role, external_id) {
        (None, None) => Ok(None),
        (Some(arn), Some(external_id)) => {
            if !is_role_arn(&arn) {
                return Err(SettingsError::new(CUSTOMER_ROLE, "is not the ARN of a role"));
            }
            if !is_external_id(&external_id) {
                let what = "is not 2 to 1224 letters, digits or characters of +=,.@:/-_";
                return Err(SettingsError::new(CUSTOMER_EXTERNAL_ID, what));
            }
            Ok(Some(CustomerRole { arn, external_id }))
        }
        (Some(_), None) => {
            Err(SettingsError::new(CUSTOMER_EXTERNAL_ID, format!("is not set, but {CUSTOMER_ROLE} is")))
        }
        (None, Some(_)) => {
            Err(SettingsError::new(CUSTOMER_ROLE, format!("is not set, but {CUSTOMER_EXTERNAL_ID} is")))
        }
    }
}

/// `arn:aws:iam::123456789012:role/path/name`
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>
fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return false };
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let name = resource.strip_prefix("role/").unwrap_or_default();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    text.len() <= 2048 && !partition.is_empty() && is_account && is_name
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@:/-_".contains(&b))
}
