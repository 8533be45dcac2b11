//! An instance from inside: what a simulated agent holds.

use std::net::Ipv4Addr;

use rekindle_cloud::{InstanceState, Purpose};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use tokio::sync::watch;

use crate::Disk;
use crate::cloud::SimulatedCloud;
use crate::world::InstanceRecord;

/// An instance from inside: what a simulated agent holds.
#[derive(Debug, Clone)]
pub struct SimulatedInstance {
    /// Its id.
    pub instance_id: InstanceId,
    /// What it was started from.
    pub image_id: ImageId,
    /// The run that it was started for.
    pub run_id: RunId,
    /// The machine that it is an instance of.
    pub machine: MachineKey,
    /// Why it was started.
    pub purpose: Purpose,
    /// Its type.
    pub instance_type: String,
    /// Where it is.
    pub zone: String,
    /// Its name in the cloud's network.
    pub hostname: String,
    /// Its address there.
    pub ip_address: String,
    cloud: SimulatedCloud,
    signal: watch::Receiver<InstanceState>,
}

impl SimulatedInstance {
    pub(crate) fn new(cloud: &SimulatedCloud, id: &InstanceId, record: &InstanceRecord) -> Self {
        let request = &record.request;
        let address = address(record.number);
        Self {
            instance_id: id.clone(),
            image_id: request.image_id.clone(),
            run_id: request.run_id.clone(),
            machine: request.machine.clone(),
            purpose: request.purpose,
            instance_type: request.instance_type.clone(),
            zone: record.zone.clone(),
            hostname: format!("ip-{}.sim.internal", address.to_string().replace('.', "-")),
            ip_address: address.to_string(),
            cloud: cloud.clone(),
            signal: record.signal.subscribe(),
        }
    }

    /// What its disk holds; null when it is terminated.
    pub fn disk(&self) -> Disk {
        self.cloud.with(|world| {
            world.instances.get(&self.instance_id).map_or(Disk::Null, |record| record.disk.clone())
        })
    }

    /// Writes to its disk. An instance that is off writes nothing.
    pub fn update_disk(&self, update: impl FnOnce(&mut Disk)) {
        self.cloud.with(|world| {
            if let Some(record) = world.instances.get_mut(&self.instance_id).filter(|record| record.is_on()) {
                update(&mut record.disk);
            }
        });
    }

    /// Shuts down from inside: a running instance is stopping, and some time later stopped.
    pub fn power_off(&self) {
        self.cloud.with(|world| world.power_off(&self.instance_id));
    }

    /// How it really stands.
    pub fn state(&self) -> InstanceState {
        *self.signal.borrow()
    }

    /// Whether it really runs.
    pub fn is_running(&self) -> bool {
        self.state() == InstanceState::Running
    }

    /// Resolves when nothing can run in it any more: it is stopped, or is being terminated.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut signal = self.signal.clone();
        async move {
            let is_over = |state: &InstanceState| {
                matches!(
                    state,
                    InstanceState::Stopped | InstanceState::ShuttingDown | InstanceState::Terminated
                )
            };
            // It fails when the cloud is gone, and the instance with it.
            let _ = signal.wait_for(is_over).await;
        }
    }
}

/// The addresses of 10.0.0.0/8, beginning with 10.0.0.1.
fn address(number: usize) -> Ipv4Addr {
    let offset = u32::try_from(number + 1).unwrap_or_default() & 0x00ff_ffff;
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 0, 0)) | offset)
}
