//! How a local cloud is opened.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use rekindle_domain::{CustomerId, InstanceId};

/// Called with the socket that an instance will find as `/run/rekindle/agent-api.sock`, before the instance starts.
///
/// The listener is blocking and may be served in any way. When the instance is gone, accepting on it fails: that is
/// how whoever serves it knows. Called on a thread where blocking is allowed; in a Tokio runtime,
/// `Handle::current()` works in it.
pub type OnLaunch = Arc<dyn Fn(InstanceId, UnixListener) + Send + Sync>;

/// Everything that a local cloud has to know.
#[derive(Clone)]
pub struct LocalCloudOptions {
    /// Where instances, images and sockets are kept. Made when it is not there, readable for nobody else.
    pub state_directory: PathBuf,
    /// A program and first arguments that end up in [`run_helper`](crate::run_helper), for example this program and
    /// `instance-init`.
    pub helper_command: Vec<OsString>,
    /// What instances of a customer see of that customer's store. Those of a customer without a profile see none.
    pub profiles: BTreeMap<CustomerId, InstanceProfile>,
    /// Public keys, as in a `.pub` file, by the name that launches call them by.
    pub ssh_keys: BTreeMap<String, String>,
    /// Whether [`run_inside`](crate::LocalCloud::run_inside) is allowed. For production sites of a demonstration: the
    /// orchestrator must have no way into an instance.
    pub console: bool,
    /// Who serves the agent API to instances.
    pub on_launch: OnLaunch,
}

impl fmt::Debug for LocalCloudOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalCloudOptions")
            .field("state_directory", &self.state_directory)
            .field("helper_command", &self.helper_command)
            .field("profiles", &self.profiles)
            .field("console", &self.console)
            .finish_non_exhaustive()
    }
}

/// What the instances of a customer see of that customer's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceProfile {
    /// Seen as `/run/rekindle/store/control`.
    pub control_directory: PathBuf,
    /// Seen as `/run/rekindle/store/data`.
    pub data_directory: PathBuf,
    /// The key that opens the customer's backups, seen as `/run/rekindle/identity` by builders, and by all instances
    /// of a writable profile; never by a replica of any other.
    pub identity_file: Option<PathBuf>,
    /// Whether instances may write into the two folders: where backups are taken. Elsewhere they are read-only.
    pub writable: bool,
}
