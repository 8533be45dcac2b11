//! What a deployment decides about launches: `REKINDLE_LAUNCH`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All environment variables of a Lambda function together have 4 KiB.
const LONGEST: usize = 4096;
const MOST_SUBNETS: usize = 32;
const SLOWEST: u32 = 100;
const FASTEST: u32 = 300;

/// Why a setting is refused, in a sentence that names the variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {what}")]
pub struct SettingsError {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl SettingsError {
    pub(crate) fn new(variable: &'static str, what: impl Into<String>) -> Self {
        Self { variable, what: what.into() }
    }
}

/// What a launch takes from the deployment; see `docs/design/0016-on-aws.md`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchSettings {
    /// For instances that refresh an image.
    pub builder_launch_template: LaunchTemplate,
    /// For instances that serve.
    pub replica_launch_template: LaunchTemplate,
    /// Where builders, rehearsals and test copies are.
    pub isolated: Network,
    /// Where a declared recovery serves.
    pub production: Network,
    /// How fast a replica's volumes are filled from their snapshots; nothing leaves it to EC2. From 100 to 300.
    ///
    /// <https://docs.aws.amazon.com/ebs/latest/userguide/initalize-volume.html>
    #[serde(default)]
    pub volume_initialization_mebibytes_per_second: Option<u32>,
}

/// A launch template. Its version is a number: `$Latest` would make another request of a repeated one.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_LaunchTemplateSpecification.html>
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchTemplate {
    /// `lt-…`
    pub id: String,
    /// Its number.
    pub version: String,
}

/// A place for instances: one subnet in each zone, and what may pass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// `sg-…`
    pub security_group: String,
    /// The subnet of each zone that may be used.
    pub subnets: BTreeMap<String, String>,
}

impl LaunchSettings {
    /// Reads and checks the JSON that an environment variable holds.
    ///
    /// # Errors
    /// A sentence that names the variable, when a name is missing, unknown or does not have EC2's form.
    pub fn parse(variable: &'static str, json: &str) -> Result<Self, SettingsError> {
        if json.len() > LONGEST {
            return Err(SettingsError::new(variable, format!("is longer than {LONGEST} bytes")));
        }
        let settings: Self = serde_json::from_str(json)
            .map_err(|error| SettingsError::new(variable, format!("is not what it should be: {error}")))?;
        settings.check().map_err(|what| SettingsError::new(variable, what))?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        self.builder_launch_template.check("builder_launch_template")?;
        self.replica_launch_template.check("replica_launch_template")?;
        self.isolated.check("isolated")?;
        self.production.check("production")?;
        match self.volume_initialization_mebibytes_per_second {
            Some(rate) if !(SLOWEST..=FASTEST).contains(&rate) => Err(format!(
                "holds a volume_initialization_mebibytes_per_second of {rate}; EC2 takes {SLOWEST} to {FASTEST}"
            )),
            _ => Ok(()),
        }
    }
}

impl LaunchTemplate {
    fn check(&self, name: &str) -> Result<(), String> {
        check_id(&self.id, "lt-", &format!("{name}.id"))?;
        let is_number =
            (1..=9).contains(&self.version.len()) && self.version.bytes().all(|b| b.is_ascii_digit());
        if is_number { Ok(()) } else { Err(format!("holds a {name}.version that is not a number")) }
    }
}

impl Network {
    fn check(&self, name: &str) -> Result<(), String> {
        check_id(&self.security_group, "sg-", &format!("{name}.security_group"))?;
        if !(1..=MOST_SUBNETS).contains(&self.subnets.len()) {
            return Err(format!("holds not one to {MOST_SUBNETS} of {name}.subnets"));
        }
        self.subnets.iter().try_for_each(|(zone, subnet)| check_subnet(name, zone, subnet))
    }
}

fn check_subnet(name: &str, zone: &str, subnet: &str) -> Result<(), String> {
    let is_zone = (1..=64).contains(&zone.len())
        && zone.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_zone {
        return Err(format!("holds in {name}.subnets what is not a zone"));
    }
    check_id(subnet, "subnet-", &format!("{name}.subnets.{zone}"))
}

/// EC2's ids are a prefix and hexadecimal digits.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>
fn check_id(id: &str, prefix: &str, name: &str) -> Result<(), String> {
    let digits = id.strip_prefix(prefix).unwrap_or_default();
    let is_id = (8..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id {
        Ok(())
    } else {
        Err(format!("holds a {name} that is not of the form {prefix}0123456789abcdef0"))
    }
}
