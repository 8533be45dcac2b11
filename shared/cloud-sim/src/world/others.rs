//! Volumes and snapshots, and what is found by its tag.

use std::time::Duration;

use rekindle_cloud::{CloudError, CloudErrorKind, InstanceState, Resource};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use tokio::time::Instant;

use super::{Tags, World, belongs_to, draw_duration, was_made_for};
use crate::history::History;

/// What a volume or a snapshot is a part of.
#[derive(Debug, Clone)]
pub(crate) enum Owner {
    Instance(InstanceId),
    Image(ImageId),
}

/// A volume or a snapshot as it is.
#[derive(Debug)]
pub(crate) struct OtherRecord {
    pub(crate) kind: &'static str,
    pub(crate) owner: Owner,
    pub(crate) tags: Tags,
    pub(crate) exists: History<bool>,
}

impl OtherRecord {
    pub(crate) fn description(&self, id: &str) -> Resource {
        Resource::Other { kind: self.kind.to_owned(), id: id.to_owned() }
    }
}

impl World {
    /// Adds a volume or a snapshot; its id.
    pub(super) fn add_other(&mut self, kind: &'static str, prefix: &str, owner: Owner, tags: Tags) -> String {
        let id = format!("{prefix}-{}", self.draw_digits());
        let exists = History::beginning(Instant::now(), true);
        self.others.insert(id.clone(), OtherRecord { kind, owner, tags, exists });
        id
    }

    /// Whether an owner existed so long ago. A part goes with it, and is not listed apart.
    fn owner_existed(&self, owner: &Owner, now: Instant, age: Duration) -> bool {
        match owner {
            Owner::Instance(id) => self.instances.get(id).is_some_and(|instance| {
                instance.state.seen(now, age).is_some_and(|state| state != InstanceState::Terminated)
            }),
            Owner::Image(id) => {
                self.images.get(id).is_some_and(|image| image.state.seen(now, age).flatten().is_some())
            }
        }
    }

    /// Whether it was there so long ago, and belonged to nothing that was.
    fn was_orphan(&self, other: &OtherRecord, now: Instant, age: Duration) -> bool {
        other.exists.seen(now, age).unwrap_or(false) && !self.owner_existed(&other.owner, now, age)
    }

    /// Removes what belonged to an instance or an image that is gone, unless it is to stay.
    pub(super) fn remove_with_owner(&mut self, kind: &str, id: &str) {
        if self.leaves_behind(kind) {
            return;
        }
        if let Some(other) = self.others.get_mut(id).filter(|other| other.exists.current()) {
            other.exists.change(Instant::now(), false);
        }
    }

    pub(crate) fn delete_other(&mut self, kind: &str, id: &str) -> Result<(), CloudError> {
        let age = self.draw_age_for_delete();
        let is_in_use = self.is_in_use(id);
        let now = Instant::now();
        let Some(other) = self.others.get_mut(id).filter(|other| other.kind == kind) else { return Ok(()) };
        if !other.exists.current() || other.exists.seen(now, age).is_none() {
            return Ok(());
        }
        if is_in_use {
            return Err(CloudError::new(CloudErrorKind::WrongState, format!("the {kind} {id} is in use")));
        }
        other.exists.change(now, false);
        Ok(())
    }

    fn is_in_use(&self, id: &str) -> bool {
        let other = self.others.get(id);
        other.is_some_and(|other| self.owner_existed(&other.owner, Instant::now(), Duration::ZERO))
    }

    /// What a look at the tags shows: old answers, each of its own age.
    pub(crate) fn find_by_run(&mut self, run_id: &RunId) -> Vec<Resource> {
        let lag = self.behaviour.lag;
        let mut random = self.random.clone();
        let mut next_age = || draw_duration(&mut random, lag);
        let now = Instant::now();
        let mut found = Vec::new();
        for (id, instance) in self.instances.iter().filter(|(_, record)| belongs_to(&record.tags, run_id)) {
            let state = instance.state.seen(now, next_age());
            let state = state.filter(|state| *state != InstanceState::Terminated);
            found.extend(state.map(|state| Resource::Instance(instance.description(id, state))));
        }
        for (id, image) in self.images.iter().filter(|(_, record)| belongs_to(&record.tags, run_id)) {
            let state = image.state.seen(now, next_age()).flatten();
            found.extend(state.map(|state| Resource::Image(image.description(id, state))));
        }
        for (id, other) in self.others.iter().filter(|(_, record)| belongs_to(&record.tags, run_id)) {
            // One age for the part and what it says of its owner, as a volume names its instance.
            let is_orphan = self.was_orphan(other, now, next_age());
            found.extend(is_orphan.then(|| other.description(id)));
        }
        self.random = random;
        found
    }

    /// What a look at the machine's tag shows: old answers, each of its own age; no parts.
    pub(crate) fn find_by_machine(&mut self, machine: &MachineKey) -> Vec<Resource> {
        let lag = self.behaviour.lag;
        let mut random = self.random.clone();
        let mut next_age = || draw_duration(&mut random, lag);
        let now = Instant::now();
        let mut found = Vec::new();
        for (id, instance) in self.instances.iter().filter(|(_, record)| was_made_for(&record.tags, machine))
        {
            let state = instance.state.seen(now, next_age());
            let state = state.filter(|state| *state != InstanceState::Terminated);
            found.extend(state.map(|state| Resource::Instance(instance.description(id, state))));
        }
        for (id, image) in self.images.iter().filter(|(_, record)| was_made_for(&record.tags, machine)) {
            let state = image.state.seen(now, next_age()).flatten();
            found.extend(state.map(|state| Resource::Image(image.description(id, state))));
        }
        self.random = random;
        found
    }

    /// Everything that there is, except what belongs to somebody else or is a part of something listed; of one run, or
    /// of all.
    pub(crate) fn truth(&self, run_id: Option<&RunId>) -> Vec<Resource> {
        let is_wanted = |tags: &Tags| run_id.is_none_or(|run_id| belongs_to(tags, run_id));
        let instances = self.instances.iter().filter(|(_, record)| is_wanted(&record.tags));
        let instances = instances.filter(|(_, record)| record.state.current() != InstanceState::Terminated);
        let images = self.images.iter().filter(|(_, record)| is_wanted(&record.tags) && !record.is_base());
        let now = Instant::now();
        let is_orphan = |other: &OtherRecord| self.was_orphan(other, now, Duration::ZERO);
        let others = self.others.iter().filter(|(_, record)| is_wanted(&record.tags) && is_orphan(record));
        instances
            .map(|(id, record)| Resource::Instance(record.description(id, record.state.current())))
            .chain(images.filter_map(|(id, record)| {
                Some(Resource::Image(record.description(id, record.state.current()?)))
            }))
            .chain(others.map(|(id, record)| record.description(id)))
            .collect()
    }

    /// The volumes and snapshots of a run that are parts of something that there is.
    pub(crate) fn parts(&self, run_id: &RunId) -> Vec<Resource> {
        let now = Instant::now();
        let is_part = |other: &OtherRecord| {
            other.exists.current() && self.owner_existed(&other.owner, now, Duration::ZERO)
        };
        let others = self.others.iter().filter(|(_, record)| belongs_to(&record.tags, run_id));
        others.filter(|(_, record)| is_part(record)).map(|(id, record)| record.description(id)).collect()
    }
}
