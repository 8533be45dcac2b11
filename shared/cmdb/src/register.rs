//! The one way into the register.

mod attempts;
mod backup_sets;
mod client_tokens;
mod customers;
mod epochs;
mod human_tasks;
mod images;
mod instances;
mod intents;
mod jobs;
mod leases;
mod pages;
mod plans;
mod rebuilds;
mod refresh_plans;
mod reports;
mod runs;
mod services;

use aws_sdk_dynamodb::Client;

pub use client_tokens::ClientClaim;
pub use pages::Page;

use crate::error::RegisterError;
use crate::table::Table;

/// The register. Cheap to clone.
///
/// All errors are [`RegisterError`]s: a precondition that did not hold says which one, and who was faster. Everything
/// but the ids is written once and may be written twice with the same effect.
#[derive(Debug, Clone)]
pub struct Register {
    pub(crate) table: Table,
}

impl Register {
    /// The register in this table. The client is the caller's: it decides on credentials, on the HTTPS stack, and how
    /// often a request is repeated that was throttled or broke off.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { table: Table::new(client, table.into()) }
    }

    /// Makes the table with its index where it is not there yet, and waits until it can be used.
    ///
    /// For the embedded register and for tests. On AWS the template makes the table, and the roles of functions may not.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn ensure_table(&self) -> Result<(), RegisterError> {
        self.table.ensure().await
    }
}
