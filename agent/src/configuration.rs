//! `agent.toml`: whose machine this is, which data stores are on it, and how each is proven.

use std::collections::BTreeMap;
use std::path::Path;

use rekindle_domain::configuration::ConfiguredProgram;
use rekindle_domain::{MachineId, MachineKey};
use rekindle_step::StepError;
use serde::{Deserialize, Serialize};

use crate::aws::AwsSettings;
use crate::error::failed;
use crate::files::read_bounded;

/// The longest configuration that is read.
pub const LONGEST_CONFIGURATION_BYTES: u64 = 256 * 1024;

/// The agent's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentConfiguration {
    /// Whose machine this is.
    pub machine: MachineKey,
    /// How backups are taken.
    pub backup: BackupSettings,
    /// The databases on it, each name once.
    pub data_stores: Vec<DataStore>,
    /// What a production host serves, until a published configuration says otherwise.
    pub programs: Vec<ConfiguredProgram>,
    /// What this machine uses of AWS; none where buckets and the agent API are mounted.
    pub aws: Option<AwsSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    machine: String,
    #[serde(default)]
    backup: BackupSettings,
    data_stores: Vec<DataStore>,
    #[serde(default)]
    programs: Vec<ConfiguredProgram>,
    aws: Option<AwsSettings>,
}

/// How backups are taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupSettings {
    /// The size of stored objects, in MiB. A stream is cut into objects of this size.
    pub object_mebibytes: u32,
    /// After this many sets the next one is full even where an increment were possible; 0 for never.
    pub full_every: u32,
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self { object_mebibytes: 32, full_every: 30 }
    }
}

/// One database or folder tree.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataStore {
    /// Its name on this machine.
    pub name: String,
    /// The recipe that handles it.
    pub recipe: String,
    /// The recipe's parameters.
    #[serde(default)]
    pub params: BTreeMap<String, toml::Value>,
    /// Questions whose answers must be the same after a restore.
    pub probes: Vec<Probe>,
}

/// A question to a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Its name, shown in verdicts.
    pub name: String,
    /// The query. It is run read-only, and its answer has to depend on the data only: order rows explicitly.
    pub query: String,
}

impl AgentConfiguration {
    /// Reads the text of an `agent.toml`.
    ///
    /// # Errors
    /// When it is not TOML of this form, or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, StepError> {
        let document: Document = toml::from_str(text)
            .map_err(|error| failed("the agent's configuration cannot be read").because(error))?;
        let machine = MachineKey::parse(&document.machine)
            .map_err(|error| failed("the agent's configuration names no machine").because(error))?;
        let Document { backup, data_stores, programs, aws, .. } = document;
        let contradiction = contradiction(&backup, &data_stores);
        match contradiction.or_else(|| aws.as_ref().and_then(AwsSettings::contradiction)) {
            Some(reason) => Err(failed(format!("the agent's configuration is refused: {reason}"))),
            None => Ok(Self { machine, backup, data_stores, programs, aws }),
        }
    }

    /// Reads the configuration from a file.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read(path: &Path) -> Result<Self, StepError> {
        let bytes = read_bounded(path, LONGEST_CONFIGURATION_BYTES)?
            .ok_or_else(|| failed(format!("there is no agent configuration at {}", path.display())))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| failed(format!("the agent configuration at {} is not text", path.display())))?;
        Self::parse(&text)
    }

    /// The data store with this name.
    pub fn data_store(&self, name: &str) -> Option<&DataStore> {
        self.data_stores.iter().find(|store| store.name == name)
    }
}

fn contradiction(backup: &BackupSettings, stores: &[DataStore]) -> Option<String> {
    if !(1..=256).contains(&backup.object_mebibytes) {
        return Some("backup.object_mebibytes has to be 1 to 256".to_owned());
    }
    if stores.is_empty() {
        return Some("it names no data store".to_owned());
    }
    let mut names: Vec<&str> = stores.iter().map(|store| store.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Some("it names a data store twice".to_owned());
    }
    stores.iter().find_map(contradiction_in)
}

fn contradiction_in(store: &DataStore) -> Option<String> {
    let name = &store.name;
    if MachineId::parse(name).is_err() {
        return Some(format!(
            "the data store {name:?} is not named with 1 to 63 lower-case letters, digits and hyphens"
        ));
    }
    if store.probes.is_empty() {
        return Some(format!(
            "the data store {name} has no probe, and a restore that no probe was asked about is not proven; add one, \
             for example a count of the rows of its largest table"
        ));
    }
    let unnamed = |probe: &Probe| MachineId::parse(&probe.name).is_err();
    if store.probes.iter().any(unnamed) {
        return Some(format!("a probe of {name} is not named with lower-case letters, digits and hyphens"));
    }
    let mut probes: Vec<&str> = store.probes.iter().map(|probe| probe.name.as_str()).collect();
    probes.sort_unstable();
    probes.windows(2).any(|pair| pair[0] == pair[1]).then(|| format!("{name} names a probe twice"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot read its own text has failed")]
    use super::*;

    const GOOD: &str = r#"
        machine = "acme/orders/database"
        [[data_stores]]
        name = "orders"
        recipe = "sqlite"
        params = { database = "/srv/orders.db" }
        probes = [{ name = "count", query = "SELECT count(*) FROM orders" }]
    "#;

    #[test]
    fn a_configuration_reads_with_its_defaults() {
        let read = AgentConfiguration::parse(GOOD).unwrap();
        assert_eq!(read.machine.to_string(), "acme/orders/database");
        assert_eq!(read.backup, BackupSettings { object_mebibytes: 32, full_every: 30 });
        assert_eq!(read.data_store("orders").unwrap().probes.len(), 1);
    }

    const AWS: &str = r#"
        [aws]
        region = "eu-west-1"
        agent_api = "https://a1b2.execute-api.eu-west-1.amazonaws.com"
        control_bucket = "acme-control"
        data_bucket = "acme-data"
        identity = "etc/rekindle/identity.kms"
    "#;

    #[test]
    fn the_table_of_aws_is_optional_and_strict() {
        assert_eq!(AgentConfiguration::parse(GOOD).unwrap().aws, None);
        let read = AgentConfiguration::parse(&format!("{GOOD}{AWS}")).unwrap().aws.unwrap();
        assert_eq!((&read.agent_api_role, &read.agent_api_external_id), (&None, &None));
        assert_eq!((read.region.as_str(), read.data_bucket.as_str()), ("eu-west-1", "acme-data"));
        for (from, to) in [
            ("https://", "http://"),
            ("acme-data", "Acme_Data"),
            ("identity =", "agent_api_role = \"rekindle-caller\"\n identity ="),
            ("region = ", "regions = "),
            ("identity =", "secret = \"x\"\n identity ="),
            ("etc/rekindle", "../rekindle"),
        ] {
            let text = format!("{GOOD}{}", AWS.replace(from, to));
            assert!(AgentConfiguration::parse(&text).is_err(), "accepted: {to}");
        }
    }

    #[test]
    fn an_account_of_its_own_names_the_role_of_the_api() {
        let role = "arn:aws:iam::111122223333:role/rekindle/rekindle-eu-west-1-agent-caller";
        let more = format!("agent_api_role = \"{role}\"\nagent_api_external_id = \"agreed\"\n");
        let read = AgentConfiguration::parse(&format!("{GOOD}{AWS}{more}")).unwrap().aws.unwrap();
        assert_eq!(read.agent_api_role.as_deref(), Some(role));
        assert_eq!(read.agent_api_external_id.as_deref(), Some("agreed"));
    }

    #[test]
    fn contradictions_are_refused() {
        for (from, to) in [
            ("acme/orders/database", "acme/orders"),
            ("name = \"orders\"", "name = \"../orders\""),
            ("{ name = \"count\", query = \"SELECT count(*) FROM orders\" }", ""),
            ("recipe = \"sqlite\"", "recipe = \"sqlite\"\nunknown = 1"),
            ("name = \"count\"", "name = \"Count of rows\""),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            assert!(AgentConfiguration::parse(&text).is_err(), "accepted: {to}");
        }
        assert!(AgentConfiguration::parse("machine = \"a/b/c\"\ndata_stores = []").is_err());
    }
}
