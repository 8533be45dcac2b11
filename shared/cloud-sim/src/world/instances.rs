//! Instances: launched, running, stopped, terminated.

use rekindle_cloud::{CloudError, CloudErrorKind, ImageState, Instance, InstanceState, LaunchRequest};
use rekindle_domain::{ImageId, InstanceId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::others::Owner;
use super::{Change, Tags, World, not_found, tags};
use crate::history::History;
use crate::{Disk, VOLUME};

/// EC2 takes no longer token.
const LONGEST_TOKEN: usize = 64;

/// An instance as it is.
#[derive(Debug)]
pub(crate) struct InstanceRecord {
    pub(crate) request: LaunchRequest,
    /// Where it is, also when the request left that open.
    pub(crate) zone: String,
    /// Its number, which its address is made from.
    pub(crate) number: usize,
    pub(crate) tags: Tags,
    pub(crate) state: History<InstanceState>,
    pub(crate) disk: Disk,
    /// Tells the simulated agent inside how the instance stands.
    pub(crate) signal: watch::Sender<InstanceState>,
    pub(crate) volume_id: String,
}

impl InstanceRecord {
    fn change(&mut self, state: InstanceState) {
        self.state.change(Instant::now(), state);
        self.signal.send_replace(state);
    }

    pub(crate) fn is_on(&self) -> bool {
        matches!(self.state.current(), InstanceState::Running | InstanceState::Stopping)
    }

    fn is_ending(&self) -> bool {
        matches!(self.state.current(), InstanceState::ShuttingDown | InstanceState::Terminated)
    }

    pub(crate) fn description(&self, id: &InstanceId, state: InstanceState) -> Instance {
        Instance { instance_id: id.clone(), state, tags: self.tags.clone() }
    }
}

impl World {
    pub(crate) fn launch(&mut self, request: &LaunchRequest) -> Result<Instance, CloudError> {
        check_token(request)?;
        let launch = (request.client_token.clone(), request.zone.clone());
        if let Some(instance_id) = self.launches.get(&launch) {
            return self.repeat_launch(instance_id, request);
        }
        let disk = self.disk_to_start(&request.image_id)?;
        let zone = self.take_capacity(request)?;
        let instance_id = self.add_instance(request, zone, disk)?;
        self.launches.insert(launch, instance_id.clone());
        self.upcoming.push((self.behaviour.boot_time, Change::Running(instance_id.clone())));
        self.current_description(&instance_id)
    }

    fn repeat_launch(&self, id: &InstanceId, request: &LaunchRequest) -> Result<Instance, CloudError> {
        let record = self.instances.get(id).ok_or_else(|| not_found("instance", id.as_str()))?;
        let refusal = |what: &str| Err(CloudError::new(CloudErrorKind::Refused, format!("{what} ({id})")));
        if record.request != *request {
            return refusal("IdempotentParameterMismatch: the client token belongs to another request");
        }
        if record.is_ending() {
            return refusal("IdempotentInstanceTerminated: the instance of the client token is terminated");
        }
        self.current_description(id)
    }

    fn disk_to_start(&self, image_id: &ImageId) -> Result<Disk, CloudError> {
        let image = self.images.get(image_id).filter(|image| image.state.current().is_some());
        let image = image.ok_or_else(|| not_found("image", image_id.as_str()))?;
        if image.state.current() == Some(ImageState::Available) {
            return Ok(image.disk.clone());
        }
        Err(CloudError::new(CloudErrorKind::WrongState, format!("the image {image_id} is not available")))
    }

    /// Takes a place for an instance; the zone where it is.
    fn take_capacity(&mut self, request: &LaunchRequest) -> Result<String, CloudError> {
        let zones = if request.zone.is_empty() { &self.behaviour.zones } else { &vec![request.zone.clone()] };
        for zone in zones {
            match self.capacity.get_mut(&(request.instance_type.clone(), zone.clone())) {
                Some(0) => {}
                Some(free) => {
                    *free -= 1;
                    return Ok(zone.clone());
                }
                None => return Ok(zone.clone()),
            }
        }
        let what = format!(
            "InsufficientInstanceCapacity: no capacity for {} in {}",
            request.instance_type,
            zones.join(", ")
        );
        Err(CloudError::new(CloudErrorKind::NoCapacity, what))
    }

    fn give_capacity_back(&mut self, instance_type: String, zone: String) {
        if let Some(free) = self.capacity.get_mut(&(instance_type, zone)) {
            *free += 1;
        }
    }

    fn add_instance(
        &mut self,
        request: &LaunchRequest,
        zone: String,
        disk: Disk,
    ) -> Result<InstanceId, CloudError> {
        let instance_id = InstanceId::parse(&format!("i-{}", self.draw_digits())).map_err(|error| {
            CloudError::new(CloudErrorKind::Refused, "an instance got no id").because(error)
        })?;
        let tags = tags(&request.run_id, &request.machine);
        let volume_id = self.add_other(VOLUME, "vol", Owner::Instance(instance_id.clone()), tags.clone());
        let record = InstanceRecord {
            request: request.clone(),
            zone,
            number: self.instances.len(),
            tags,
            state: History::beginning(Instant::now(), InstanceState::Pending),
            disk,
            signal: watch::Sender::new(InstanceState::Pending),
            volume_id,
        };
        self.instances.insert(instance_id.clone(), record);
        Ok(instance_id)
    }

    fn current_description(&self, id: &InstanceId) -> Result<Instance, CloudError> {
        let record = self.instances.get(id).ok_or_else(|| not_found("instance", id.as_str()))?;
        Ok(record.description(id, record.state.current()))
    }

    pub(crate) fn describe_instance(&mut self, id: &InstanceId) -> Result<Instance, CloudError> {
        let age = self.draw_age();
        let now = Instant::now();
        let record = self.instances.get(id).ok_or_else(|| not_found("instance", id.as_str()))?;
        let state = record.state.seen(now, age).ok_or_else(|| not_found("instance", id.as_str()))?;
        let ended_at = record.state.since().filter(|_| state == InstanceState::Terminated);
        if ended_at.is_some_and(|at| now.duration_since(at) > self.behaviour.terminated_shown_for) {
            return Err(not_found("instance", id.as_str()));
        }
        Ok(record.description(id, state))
    }

    pub(crate) fn terminate(&mut self, id: &InstanceId) {
        let age = self.draw_age_for_delete();
        let Some(record) = self.instances.get_mut(id) else { return };
        let is_seen = record.state.seen(Instant::now(), age).is_some();
        if is_seen && !record.is_ending() {
            record.change(InstanceState::ShuttingDown);
            self.upcoming.push((self.behaviour.termination_time, Change::Terminated(id.clone())));
        }
    }

    pub(crate) fn power_off(&mut self, id: &InstanceId) {
        let Some(record) = self.instances.get_mut(id) else { return };
        if record.state.current() == InstanceState::Running {
            record.change(InstanceState::Stopping);
            self.upcoming.push((self.behaviour.stop_time, Change::Stopped(id.clone())));
        }
    }

    pub(super) fn run(&mut self, id: &InstanceId) {
        let Some(record) = self.instances.get_mut(id) else { return };
        if record.state.current() == InstanceState::Pending {
            record.change(InstanceState::Running);
            self.started.push(id.clone());
        }
    }

    pub(super) fn stop(&mut self, id: &InstanceId) {
        let Some(record) = self.instances.get_mut(id) else { return };
        if record.state.current() == InstanceState::Stopping {
            record.change(InstanceState::Stopped);
        }
    }

    pub(super) fn finish_termination(&mut self, id: &InstanceId) {
        let Some(record) = self.instances.get_mut(id) else { return };
        record.change(InstanceState::Terminated);
        record.disk = Disk::Null;
        let (volume_id, instance_type, zone) =
            (record.volume_id.clone(), record.request.instance_type.clone(), record.zone.clone());
        self.remove_with_owner(VOLUME, &volume_id);
        self.give_capacity_back(instance_type, zone);
    }
}

fn check_token(request: &LaunchRequest) -> Result<(), CloudError> {
    let token = &request.client_token;
    if (1..=LONGEST_TOKEN).contains(&token.len()) && token.is_ascii() {
        return Ok(());
    }
    Err(CloudError::new(CloudErrorKind::Refused, "a client token has 1 to 64 ASCII characters"))
}
