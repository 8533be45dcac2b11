//! What the owner tells the helper about the instance that it is to be.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use rekindle_domain::InstanceId;
use serde::{Deserialize, Serialize};

/// Everything that the helper needs to know. It works in the instance's directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Specification {
    /// Which instance.
    pub(crate) instance_id: InstanceId,
    /// The process that holds the private network.
    pub(crate) network_process: u32,
    /// The bridge to join.
    pub(crate) bridge: String,
    /// The address to have.
    pub(crate) address: Ipv4Addr,
    /// The name to have.
    pub(crate) hostname: String,
    /// 32 hexadecimal digits.
    pub(crate) machine_id: String,
    /// What of the host is visible inside, besides its programs.
    pub(crate) mounts: Vec<Mount>,
    /// Who may log in.
    pub(crate) authorized_key: Option<AuthorizedKey>,
    /// Whether the owner may run commands inside.
    pub(crate) console: bool,
}

/// A file or folder of the host that is visible inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// On the host.
    pub(crate) source: PathBuf,
    /// Inside.
    pub(crate) target: PathBuf,
    /// Whether the instance may change it.
    pub(crate) writable: bool,
}

/// A public key that may log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizedKey {
    /// What the provider knows it as; becomes its comment.
    pub(crate) name: String,
    /// Type and key, as in a `.pub` file; a comment is left out.
    pub(crate) line: String,
}

impl AuthorizedKey {
    /// The line for `authorized_keys`.
    pub(crate) fn entry(&self) -> String {
        let mut words = self.line.split_whitespace();
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        format!("{kind} {key} {}", self.name)
    }

    /// The key itself, which tells one from another.
    pub(crate) fn key(&self) -> &str {
        self.line.split_whitespace().nth(1).unwrap_or_default()
    }
}
