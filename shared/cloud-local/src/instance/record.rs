//! What is known about an instance.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rekindle_cloud::{Instance, InstanceState, LaunchRequest, MACHINE_TAG, Purpose, RUN_TAG};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use serde::{Deserialize, Serialize};

/// What it took to give an instance its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchCost {
    /// How it was done.
    pub method: LaunchMethod,
    /// How many bytes were copied before the instance could start.
    pub bytes: u64,
    /// How long that took.
    pub milliseconds: u64,
}

/// How an instance came by its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaunchMethod {
    /// The files share their blocks with the image's: nothing was copied.
    Reflink,
    /// The copy that was made when the image was registered was taken: nothing was copied.
    ReadyCopy,
    /// Everything was copied, since the file system cannot share blocks and no ready copy was there.
    Copied,
}

/// How far an instance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Progress {
    /// Being launched. After a crash it is removed.
    Making,
    /// Its processes were started. After a crash they are gone, and it is stopped.
    Running,
    /// Its processes are gone; its disk is there, unless an image was made of it.
    Stopped,
    /// Being removed. After a crash the removal is finished.
    Removing,
    /// Gone; only remembered.
    Terminated,
}

/// What was asked for, to tell a repeated request from another one with the same token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedRequest {
    pub(crate) client_token: String,
    pub(crate) run_id: RunId,
    pub(crate) machine: MachineKey,
    pub(crate) image_id: ImageId,
    pub(crate) instance_type: String,
    pub(crate) zone: String,
    pub(crate) purpose: Purpose,
    pub(crate) ssh_key_name: String,
    pub(crate) isolated_network: bool,
}

impl From<&LaunchRequest> for RecordedRequest {
    fn from(request: &LaunchRequest) -> Self {
        Self {
            client_token: request.client_token.clone(),
            run_id: request.run_id.clone(),
            machine: request.machine.clone(),
            image_id: request.image_id.clone(),
            instance_type: request.instance_type.clone(),
            zone: request.zone.clone(),
            purpose: request.purpose,
            ssh_key_name: request.ssh_key_name.clone(),
            isolated_network: request.isolated_network,
        }
    }
}

/// The content of `instance.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    pub(crate) instance_id: InstanceId,
    pub(crate) request: RecordedRequest,
    pub(crate) address: Ipv4Addr,
    pub(crate) progress: Progress,
    pub(crate) launch_cost: Option<LaunchCost>,
    /// For people: when it was last written.
    pub(crate) changed_at: jiff::Timestamp,
}

impl InstanceRecord {
    /// Of an instance that is about to be made.
    pub(crate) fn new(instance_id: InstanceId, request: RecordedRequest, address: Ipv4Addr) -> Self {
        let changed_at = jiff::Timestamp::now();
        Self { instance_id, request, address, progress: Progress::Making, launch_cost: None, changed_at }
    }

    /// As the port has it.
    pub(crate) fn describe(&self) -> Instance {
        Instance {
            instance_id: self.instance_id.clone(),
            state: match self.progress {
                Progress::Making => InstanceState::Pending,
                Progress::Running => InstanceState::Running,
                Progress::Stopped => InstanceState::Stopped,
                Progress::Removing => InstanceState::ShuttingDown,
                Progress::Terminated => InstanceState::Terminated,
            },
            tags: self.tags(),
        }
    }

    /// Those of everything that the launch made.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        tags(&self.request.run_id, &self.request.machine)
    }

    /// The name that the instance has for itself: that of the machine, and enough to tell two apart.
    pub(crate) fn hostname(&self) -> String {
        let machine: String = self.request.machine.machine_id.as_str().chars().take(50).collect();
        let id: String = self.instance_id.as_str().chars().skip(2).take(8).collect();
        format!("{machine}-{id}")
    }
}

/// The tags that say for which run and for which machine something is.
pub(crate) fn tags(run_id: &RunId, machine: &MachineKey) -> BTreeMap<String, String> {
    BTreeMap::from([(RUN_TAG.to_owned(), run_id.to_string()), (MACHINE_TAG.to_owned(), machine.to_string())])
}
