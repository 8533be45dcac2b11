//! The process that the product runs in: it can die at any await point.

use std::sync::{Arc, Mutex, PoisonError};

use rekindle_cloud::Resource;
use rekindle_cloud_sim::SimulatedCloud;
use rekindle_domain::RunId;
use rekindle_embedded_host::EmbeddedHost;

use crate::agent::Agents;
use crate::faults::Surroundings;

enum Life {
    Unborn,
    Alive(Box<EmbeddedHost>),
    Dead(Box<EmbeddedHost>),
}

/// The process.
pub(super) struct Process {
    life: Mutex<Life>,
    cloud: SimulatedCloud,
    agents: Arc<Agents>,
}

impl Process {
    pub(super) fn new(cloud: SimulatedCloud, agents: Arc<Agents>) -> Arc<Self> {
        Arc::new(Self { life: Mutex::new(Life::Unborn), cloud, agents })
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn start(&self, host: EmbeddedHost) {
        self.agents.talk_to(Some(host.agents().clone()));
        *self.life() = Life::Alive(Box::new(host));
    }

    pub(super) fn host(&self) -> Option<EmbeddedHost> {
        match &*self.life() {
            Life::Alive(host) => Some((**host).clone()),
            Life::Unborn | Life::Dead(_) => None,
        }
    }

    pub(super) fn kill_host(&self) {
        let Some(host) = self.host() else { return };
        self.agents.talk_to(None);
        *self.life() = Life::Dead(Box::new(host.clone()));
        host.kill();
    }

    /// The dead process, once.
    pub(super) fn take_corpse(&self) -> Option<EmbeddedHost> {
        let mut life = self.life();
        match std::mem::replace(&mut *life, Life::Unborn) {
            Life::Dead(host) => Some(*host),
            other => {
                *life = other;
                None
            }
        }
    }

    /// Forgets everything, so that a world can be dropped although its parts know each other.
    pub(super) fn bury(&self) {
        self.agents.talk_to(None);
        *self.life() = Life::Unborn;
    }
}

impl Surroundings for Process {
    fn kill(&self) {
        self.kill_host();
    }

    fn switch_off_instances(&self, run_id: &RunId) {
        let mut switched_off = false;
        for resource in self.cloud.truth_resources(run_id) {
            let Resource::Instance(instance) = resource else { continue };
            let inside = self.cloud.simulated_instance(&instance.instance_id);
            if let Some(inside) = inside.filter(rekindle_cloud_sim::SimulatedInstance::is_running) {
                inside.power_off();
                switched_off = true;
            }
        }
        if !switched_off {
            self.agents.doom_next(run_id);
        }
    }

    fn step_has_run(&self) {
        self.agents.wake();
    }
}
