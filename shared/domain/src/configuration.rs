//! A configuration revision: a signed list of files, named by the SHA-256 of its content.

use serde::{Deserialize, Serialize};

use crate::identity::{Digest, ServiceKey};
use crate::object_key::ObjectKey;

/// A configuration revision's name: the digest of the document's exact bytes.
pub type RevisionId = Digest;

/// The longest configuration document that is read, in bytes. Configuration is text; one this long is a mistake.
pub const LONGEST_DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;

/// The files that an image of a service must hold. Signed by the customer, applied by the agent, the same result
/// however often it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationDocument {
    /// Version of this format: 1.
    pub schema_version: u32,
    /// Whose configuration it is.
    pub service: ServiceKey,
    /// Grows by one with each publication; the agent refuses to go back.
    pub counter: u64,
    /// The files, each path once.
    pub files: Vec<ConfigurationFile>,
    /// Programs that the image runs when it serves, each an argument vector; started by the agent at activation.
    #[serde(default)]
    pub programs: Vec<ConfiguredProgram>,
}

/// One file of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationFile {
    /// Absolute path inside the instance, under `/etc`, `/srv`, `/opt` or `/var/lib`; the agent refuses others.
    pub path: String,
    /// Permission bits, for example 0o644.
    pub mode: u32,
    /// The content, text.
    pub content: String,
}

/// A program that belongs to the service's software: what serves once the data is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfiguredProgram {
    /// Its name, for logs.
    pub name: String,
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Loopback URL that answers 200 when the program serves.
    pub health_url: Option<String>,
}

impl ServiceKey {
    /// The key of a configuration document in the control bucket.
    pub fn configuration_key(&self, revision: &RevisionId) -> String {
        format!("customers/{}/services/{}/configurations/{revision}.json", self.customer_id, self.service_id)
    }

    /// The same as a checked object key.
    ///
    /// # Errors
    /// Never for ids that were parsed; the type asks for it.
    pub fn configuration_object(
        &self,
        revision: &RevisionId,
    ) -> Result<ObjectKey, crate::object_key::ObjectKeyError> {
        ObjectKey::parse(&self.configuration_key(revision))
    }
}
