//! The truth, and how it is seen: what there is, and what happens to it next.

mod images;
mod instances;
mod others;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rekindle_cloud::{CloudError, CloudErrorKind, MACHINE_TAG, RUN_TAG};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use tokio::time::Instant;

pub(crate) use self::images::ImageRecord;
pub(crate) use self::instances::InstanceRecord;
pub(crate) use self::others::OtherRecord;
use crate::behaviour::Behaviour;
use crate::call::{Call, CallOutcome, CallRecord};
use crate::fault::{Fault, FaultPlan, Occurrence, When};
use crate::throttle::Throttle;

pub(crate) type Tags = BTreeMap<String, String>;

/// Everything there is. It does nothing by itself: what is to happen later is put down in `upcoming`.
#[derive(Debug)]
pub(crate) struct World {
    behaviour: Behaviour,
    random: SmallRng,
    throttle: Throttle,
    pub(crate) faults: FaultPlan,
    pub(crate) instances: BTreeMap<InstanceId, InstanceRecord>,
    pub(crate) images: BTreeMap<ImageId, ImageRecord>,
    pub(crate) others: BTreeMap<String, OtherRecord>,
    /// The instance of each client token in each zone.
    launches: HashMap<(String, String), InstanceId>,
    /// How many more instances of a type fit into a zone, where that is limited.
    pub(crate) capacity: HashMap<(String, String), usize>,
    pub(crate) images_to_fail: usize,
    /// How many of each kind outlive what they belong to.
    pub(crate) to_leave_behind: BTreeMap<String, usize>,
    pub(crate) late_effects: usize,
    pub(crate) log: Vec<CallRecord>,
    pub(crate) upcoming: Vec<(Duration, Change)>,
    /// Instances that have just begun to run.
    pub(crate) started: Vec<InstanceId>,
}

/// Something that happens by itself.
pub(crate) enum Change {
    Running(InstanceId),
    Stopped(InstanceId),
    Terminated(InstanceId),
    ImageFinished(ImageId),
    LateEffect(Box<dyn FnOnce(&mut World) + Send>),
}

impl fmt::Debug for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(id) => write!(formatter, "{id} is running"),
            Self::Stopped(id) => write!(formatter, "{id} is stopped"),
            Self::Terminated(id) => write!(formatter, "{id} is terminated"),
            Self::ImageFinished(id) => write!(formatter, "{id} is finished"),
            Self::LateEffect(_) => formatter.write_str("a late effect"),
        }
    }
}

impl World {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        Self {
            random: SmallRng::seed_from_u64(behaviour.seed),
            throttle: Throttle::full(Instant::now()),
            behaviour,
            faults: FaultPlan::default(),
            instances: BTreeMap::new(),
            images: BTreeMap::new(),
            others: BTreeMap::new(),
            launches: HashMap::new(),
            capacity: HashMap::new(),
            images_to_fail: 0,
            to_leave_behind: BTreeMap::new(),
            late_effects: 0,
            log: Vec::new(),
            upcoming: Vec::new(),
            started: Vec::new(),
        }
    }

    /// Puts down that a call was made; its number in the log.
    pub(crate) fn note_call(&mut self, call: Call) -> usize {
        self.log.push(CallRecord { at: Instant::now(), call, outcome: CallOutcome::Unanswered });
        self.log.len() - 1
    }

    /// Puts down what became of a call.
    pub(crate) fn note_outcome(&mut self, number: usize, outcome: CallOutcome) {
        if let Some(record) = self.log.get_mut(number) {
            record.outcome = outcome;
        }
    }

    /// Lets a call through, unless there are too many.
    pub(crate) fn admit(&mut self, call: &Call) -> Result<(), CloudError> {
        let kind = match call {
            Call::DeleteOther { kind, .. } => Some(kind.as_str()),
            _ => None,
        };
        if !self.behaviour.throttling || self.throttle.admit(call.operation(), kind, Instant::now()) {
            return Ok(());
        }
        Err(CloudError::new(CloudErrorKind::Throttled, "RequestLimitExceeded: too many calls of this kind"))
    }

    /// What goes wrong in a call: what was injected, or chance.
    pub(crate) fn meet_fault(&mut self, call: &Call) -> Option<Fault> {
        self.faults.meet(call).or_else(|| self.meet_chance(call))
    }

    fn meet_chance(&mut self, call: &Call) -> Option<Fault> {
        let operation = call.operation();
        let likelihood = self.behaviour.uncertainty.clamp(0.0, 1.0);
        if likelihood == 0.0 || !operation.changes_something() || !self.random.random_bool(likelihood) {
            return None;
        }
        let when = match self.random.random_range(0..3) {
            0 => When::BeforeEffect,
            1 => When::AfterEffect,
            _ => When::LateEffect(draw_duration(&mut self.random, self.behaviour.late_effect_within)),
        };
        Some(Fault { operation, occurrence: Occurrence::Nth(1), when, error: CloudErrorKind::Uncertain })
    }

    /// Lets happen what was to happen.
    pub(crate) fn perform(&mut self, change: Change) {
        tracing::debug!(?change, "in the simulated cloud");
        match change {
            Change::Running(id) => self.run(&id),
            Change::Stopped(id) => self.stop(&id),
            Change::Terminated(id) => self.finish_termination(&id),
            Change::ImageFinished(id) => self.finish_image(&id),
            Change::LateEffect(effect) => {
                self.late_effects = self.late_effects.saturating_sub(1);
                effect(self);
            }
        }
    }

    /// How old the next look at a resource is.
    fn draw_age(&mut self) -> Duration {
        draw_duration(&mut self.random, self.behaviour.lag)
    }

    /// How old what a terminate or a delete knows is.
    fn draw_age_for_delete(&mut self) -> Duration {
        if self.behaviour.deletes_lag { self.draw_age() } else { Duration::ZERO }
    }

    /// Seventeen hexadecimal digits, as EC2's ids have them.
    fn draw_digits(&mut self) -> String {
        format!("{:017x}", self.random.random::<u64>())
    }

    /// Whether the next thing of this kind outlives what it belongs to.
    fn leaves_behind(&mut self, kind: &str) -> bool {
        match self.to_leave_behind.get_mut(kind) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// More than nothing and at most this long; nothing only when there is no choice.
fn draw_duration(random: &mut SmallRng, longest: Duration) -> Duration {
    let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    if longest == 0 {
        return Duration::ZERO;
    }
    Duration::from_millis(random.random_range(1..=longest))
}

fn tags(run_id: &RunId, machine: &MachineKey) -> Tags {
    Tags::from([(RUN_TAG.to_owned(), run_id.to_string()), (MACHINE_TAG.to_owned(), machine.to_string())])
}

fn belongs_to(tags: &Tags, run_id: &RunId) -> bool {
    tags.get(RUN_TAG).is_some_and(|tag| tag == run_id.as_str())
}

/// Whether a run made it for this machine; what the customer itself has tagged has no run.
fn was_made_for(tags: &Tags, machine: &MachineKey) -> bool {
    tags.contains_key(RUN_TAG) && tags.get(MACHINE_TAG).is_some_and(|tag| *tag == machine.to_string())
}

fn not_found(what: &str, id: &str) -> CloudError {
    CloudError::new(CloudErrorKind::NotFound, format!("the {what} {id} is unknown"))
}
