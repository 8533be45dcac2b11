//! The cloud, and what only a test can do with it.

use std::fmt;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rekindle_cloud::{CloudImage, Resource};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use tokio::time::Instant;

use crate::Disk;
use crate::behaviour::Behaviour;
use crate::call::{Call, CallRecord};
use crate::fault::Fault;
use crate::instance::SimulatedInstance;
use crate::world::{Change, World};

/// Called, in a task of its own, for every instance that begins to run.
pub type RunningHook = Arc<dyn Fn(SimulatedInstance) + Send + Sync>;

/// A cloud in memory. Clones are the same cloud. It is used within a tokio runtime.
#[derive(Clone)]
pub struct SimulatedCloud {
    shared: Arc<Shared>,
}

struct Shared {
    behaviour: Behaviour,
    world: Mutex<World>,
    on_running: Mutex<Option<RunningHook>>,
}

impl SimulatedCloud {
    /// A cloud without anything in it.
    pub fn new(behaviour: Behaviour) -> Self {
        let world = Mutex::new(World::new(behaviour.clone()));
        Self { shared: Arc::new(Shared { behaviour, world, on_running: Mutex::default() }) }
    }

    /// What it is like.
    pub fn behaviour(&self) -> &Behaviour {
        &self.shared.behaviour
    }

    /// Registers an image that was always there and belongs to nobody's run.
    pub fn add_base_image(&self, id: ImageId, disk: Disk) {
        self.with(|world| world.add_base_image(id, disk));
    }

    /// Adds an image that a run of the past has made.
    pub fn add_image(&self, id: ImageId, run_id: &RunId, machine: &MachineKey, disk: Disk) {
        self.with(|world| world.add_image(id, run_id, machine, disk));
    }

    /// Sets what is called for every instance that begins to run from now on, in place of what was set before.
    pub fn on_running(&self, hook: RunningHook) {
        *self.shared.on_running.lock().unwrap_or_else(PoisonError::into_inner) = Some(hook);
    }

    /// Lets something go wrong.
    pub fn inject(&self, fault: Fault) {
        self.inject_where(fault, |_| true);
    }

    /// Lets something go wrong in the calls for which the predicate holds; only those are counted.
    pub fn inject_where(&self, fault: Fault, predicate: impl Fn(&Call) -> bool + Send + 'static) {
        self.with(|world| world.faults.add(fault, Box::new(predicate)));
    }

    /// Lets nothing go wrong any more. What is on its way still comes.
    pub fn clear_faults(&self) {
        self.with(|world| world.faults.clear());
    }

    /// Says how many more instances of a type fit into a zone; what is terminated there makes room again.
    pub fn set_capacity(&self, instance_type: &str, zone: &str, free: usize) {
        let place = (instance_type.to_owned(), zone.to_owned());
        self.with(|world| world.capacity.insert(place, free));
    }

    /// Takes the limit away again.
    pub fn lift_capacity_limit(&self, instance_type: &str, zone: &str) {
        let place = (instance_type.to_owned(), zone.to_owned());
        self.with(|world| world.capacity.remove(&place));
    }

    /// Lets so many images end as failed that would otherwise become available.
    pub fn fail_next_images(&self, count: usize) {
        self.with(|world| world.images_to_fail = count);
    }

    /// Lets so many volumes or snapshots outlive the instance or image that they belong to.
    pub fn leave_behind_next(&self, kind: &str, count: usize) {
        self.with(|world| world.to_leave_behind.insert(kind.to_owned(), count));
    }

    /// What really carries the run's tag now; parts of what is listed are not listed apart, orphans are.
    pub fn truth_resources(&self, run_id: &RunId) -> Vec<Resource> {
        self.with(|world| world.truth(Some(run_id)))
    }

    /// The volumes and snapshots under the instances and images of a run.
    pub fn truth_parts(&self, run_id: &RunId) -> Vec<Resource> {
        self.with(|world| world.parts(run_id))
    }

    /// Everything that really is there now, except base images and parts of what is listed.
    pub fn all_truth(&self) -> Vec<Resource> {
        self.with(|world| world.truth(None))
    }

    /// An image as it really is, base images too, and what its disk holds.
    pub fn truth_image(&self, id: &ImageId) -> Option<(CloudImage, Disk)> {
        self.with(|world| {
            let record = world.images.get(id)?;
            Some((record.description(id, record.state.current()?), record.disk.clone()))
        })
    }

    /// An instance from inside, terminated ones too.
    pub fn simulated_instance(&self, id: &InstanceId) -> Option<SimulatedInstance> {
        self.with(|world| world.instances.get(id).map(|record| SimulatedInstance::new(self, id, record)))
    }

    /// How many effects of calls that have failed are still to come.
    pub fn pending_late_effects(&self) -> usize {
        self.with(|world| world.late_effects)
    }

    /// Every call that was made, in order.
    pub fn call_log(&self) -> Vec<CallRecord> {
        self.with(|world| world.log.clone())
    }

    /// Works on the world, and sees to it that what follows from the work happens.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.shared.world.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = work(&mut world);
        let upcoming = take(&mut world.upcoming);
        let started: Vec<SimulatedInstance> = take(&mut world.started)
            .iter()
            .filter_map(|id| Some(SimulatedInstance::new(self, id, world.instances.get(id)?)))
            .collect();
        drop(world);
        upcoming.into_iter().for_each(|(delay, change)| self.happen_later(delay, change));
        started.into_iter().for_each(|instance| self.tell_running(instance));
        answer
    }

    fn happen_later(&self, delay: Duration, change: Change) {
        let cloud = self.clone();
        let at = Instant::now() + delay;
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            cloud.with(|world| world.perform(change));
        });
    }

    fn tell_running(&self, instance: SimulatedInstance) {
        let hook = self.shared.on_running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            tokio::spawn(async move { hook(instance) });
        }
    }
}

impl fmt::Debug for SimulatedCloud {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SimulatedCloud")
            .field("behaviour", &self.shared.behaviour)
            .finish_non_exhaustive()
    }
}
