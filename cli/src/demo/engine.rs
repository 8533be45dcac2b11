//! What differs between the two engines: the configuration of the machine.

use std::path::{Path, PathBuf};

use rekindle_domain::MachineKey;
use rekindle_domain::configuration::ConfiguredProgram;
use rekindle_step::StepError;

use super::options::Engine;
use super::orders_client::PORT;
use crate::multi_call::ORDERS_SERVICE;

/// The agent's program inside images.
pub const AGENT: &str = "/opt/rekindle/rekindle-agent";
const SQLITE_DATABASE: &str = "/var/lib/orders/orders.db";
const POSTGRES_DATA: &str = "/var/lib/postgresql/orders";
const POSTGRES_SOCKET: &str = "/run/postgresql";
/// What is asked at backup time and again after every restore.
const PROBE: &str = "select count(*), coalesce(sum(quantity), 0), coalesce(sum(revision), 0), coalesce(max(id), 0) from orders";

impl Engine {
    /// Says in one sentence what is missing on this machine.
    ///
    /// # Errors
    /// When the engine cannot be used here.
    pub fn probe(self) -> Result<(), StepError> {
        match self {
            Self::Sqlite => Ok(()),
            Self::Postgres if has_postgres_server() => Ok(()),
            Self::Postgres => Err(StepError::permanent("this machine has no PostgreSQL server programs")
                .next_step(
                    "Install them (Debian and Ubuntu: apt-get install postgresql), or take --engine sqlite",
                )),
        }
    }

    /// The agent's configuration for the machine of the demo.
    pub fn agent_configuration(self, machine: &MachineKey) -> String {
        let (recipe, parameters) = match self {
            Self::Sqlite => ("sqlite", format!("database = {SQLITE_DATABASE:?}")),
            Self::Postgres => (
                "postgres-dump",
                format!(
                    "data_dir = {POSTGRES_DATA:?}\nsocket_dir = {POSTGRES_SOCKET:?}\ndatabase = \"orders\"\nport = 5432"
                ),
            ),
        };
        format!(
            "machine = \"{machine}\"\n\n[[data_stores]]\nname = \"orders\"\nrecipe = \"{recipe}\"\n\n\
             [data_stores.params]\n{parameters}\n\n[[data_stores.probes]]\nname = \"orders\"\nquery = {PROBE:?}\n"
        )
    }

    /// The application: what serves once the data is there.
    pub fn program(self) -> ConfiguredProgram {
        let database = match self {
            Self::Sqlite => ["--sqlite", SQLITE_DATABASE],
            Self::Postgres => ["--postgres-socket", POSTGRES_SOCKET],
        };
        let service = orders_service_path();
        let command = [service.as_str(), database[0], database[1]];
        ConfiguredProgram {
            name: "orders".to_owned(),
            command: command.iter().map(|part| (*part).to_owned()).collect(),
            health_url: Some(format!("http://127.0.0.1:{PORT}/health")),
        }
    }

    /// Folders that have to be there before the engine is.
    pub fn data_folder(self) -> PathBuf {
        let folder = match self {
            Self::Sqlite => Path::new(SQLITE_DATABASE).parent(),
            Self::Postgres => Path::new(POSTGRES_DATA).parent(),
        };
        folder.unwrap_or(Path::new("/var/lib")).to_owned()
    }
}

/// The service inside images: another name of the agent's program.
pub fn orders_service_path() -> String {
    format!("/opt/orders/{ORDERS_SERVICE}")
}

/// Debian and Ubuntu keep the server's programs apart by version.
fn has_postgres_server() -> bool {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return false };
    versions.flatten().any(|version| version.path().join("bin/postgres").is_file())
}
