//! What a recovery starts: which proven image of which machine, in which order, and what that will take.

mod target;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rekindle_domain::plan::{FallbackImage, NotRecoverable, ServiceRecovery};
use rekindle_domain::{
    ApprovalPolicy, BackupId, Image, MachineKey, MachineRecovery, RecoveryKind, RecoveryPlan, RunId, Seconds,
    Service, ServiceId, ServiceKey, TargetImage, Wave,
};

pub use target::TargetImageRefusal;

/// EC2 answers this many launch requests at once, then [`LAUNCHES_PER_SECOND`] (EC2 API throttling, RunInstances
/// request bucket of an account and region).
pub const LAUNCH_BURST: u32 = 5;
/// The rate at which EC2's launch budget is refilled.
pub const LAUNCHES_PER_SECOND: f64 = 2.0;
/// How many older images a plan names for a machine whose newest one does not boot.
pub const MOST_FALLBACKS: usize = 2;

/// Who wants what recovered.
#[derive(Debug, Clone)]
pub struct RecoveryRequest {
    /// The run that will carry the plan out.
    pub run_id: RunId,
    /// Disaster or rehearsal.
    pub kind: RecoveryKind,
    /// Who asks.
    pub requested_by: String,
    /// In their own words.
    pub reason: String,
    /// When it was declared.
    pub declared_at: Timestamp,
    /// The services to recover; empty means all that were passed in.
    pub services: Vec<ServiceId>,
    /// Recover to the newest image at or before this instant; none means the newest.
    pub at_or_before: Option<Timestamp>,
    /// Recover this image of the one service that is asked for, and no other; none means the newest.
    pub target: Option<TargetImage>,
}

/// What is known of a service.
#[derive(Debug, Clone)]
pub struct RecoverySituation {
    /// The service.
    pub service: Service,
    /// The proven images of each of its machines, newest first.
    pub images: BTreeMap<MachineKey, Vec<Image>>,
    /// One sentence about the newest failed refresh of a machine, where there was one.
    pub newest_failures: BTreeMap<MachineKey, String>,
    /// What a start of this service took the last time, where it was measured.
    pub measured_start: Option<Seconds>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryUnplannable {
    /// A service that was asked for is not known.
    #[error("the service {0} is not in the register")]
    UnknownService(ServiceId),
    /// Services wait for each other.
    #[error("the services {} depend on each other in a circle", names(.0))]
    Circle(Vec<ServiceId>),
    /// Nothing can be recovered.
    #[error("{}", sentences(.0))]
    NothingProven(Vec<NotRecoverable>),
    /// The image that was named cannot be recovered.
    #[error(transparent)]
    TargetImage(#[from] TargetImageRefusal),
}

fn names(services: &[ServiceId]) -> String {
    services.iter().map(ServiceId::as_str).collect::<Vec<_>>().join(", ")
}

fn sentences(causes: &[NotRecoverable]) -> String {
    causes.iter().map(|part| part.cause.as_str()).collect::<Vec<_>>().join("; ")
}

/// Makes the plan. Every choice is made here; whoever carries it out makes none.
///
/// # Errors
/// When a service is unknown, when services wait for each other, when no image of any of them is proven, and when the
/// image that was named is not one to recover.
pub fn plan_recovery(
    request: &RecoveryRequest,
    situations: &[RecoverySituation],
    now: Timestamp,
) -> Result<RecoveryPlan, RecoveryUnplannable> {
    let narrowed = target::narrowed(request, situations)?;
    let situations = narrowed.as_deref().unwrap_or(situations);
    let chosen = chosen_services(request, situations)?;
    let order = waves_of(&chosen)?;
    let mut not_recoverable = Vec::new();
    let mut waves = Vec::new();
    for wave in order {
        let mut services = Vec::new();
        for situation in wave {
            match service_recovery(situation, request) {
                Ok(service) => services.push(service),
                Err(cause) => {
                    not_recoverable.push(NotRecoverable { service: situation.service.key.clone(), cause });
                }
            }
        }
        if !services.is_empty() {
            waves.push(Wave { services: with_launch_slots(services) });
        }
    }
    if waves.is_empty() {
        return Err(RecoveryUnplannable::NothingProven(not_recoverable));
    }
    Ok(RecoveryPlan {
        run_id: request.run_id.clone(),
        kind: request.kind,
        requested_by: request.requested_by.clone(),
        reason: request.reason.clone(),
        declared_at: request.declared_at,
        planned_at: now,
        isolated_network: request.kind == RecoveryKind::Rehearsal,
        predicted_recovery_time: predicted_time(&waves, &chosen),
        predicted_recovery_point: predicted_point(&waves, request.declared_at),
        approval: strictest_approval(&chosen),
        waves,
        not_recoverable,
        warning: None,
    })
}

fn chosen_services<'a>(
    request: &RecoveryRequest,
    situations: &'a [RecoverySituation],
) -> Result<Vec<&'a RecoverySituation>, RecoveryUnplannable> {
    if request.services.is_empty() {
        return Ok(situations.iter().collect());
    }
    let wanted: BTreeSet<&ServiceId> = request.services.iter().collect();
    wanted
        .into_iter()
        .map(|id| {
            situations
                .iter()
                .find(|situation| situation.service.key.service_id == *id)
                .ok_or_else(|| RecoveryUnplannable::UnknownService(id.clone()))
        })
        .collect()
}

/// Services whose dependencies are all in earlier waves, wave by wave. Dependencies outside of what is recovered are
/// taken to serve already.
fn waves_of<'a>(
    chosen: &[&'a RecoverySituation],
) -> Result<Vec<Vec<&'a RecoverySituation>>, RecoveryUnplannable> {
    let asked: BTreeSet<&ServiceId> =
        chosen.iter().map(|situation| &situation.service.key.service_id).collect();
    let mut placed: BTreeSet<&ServiceId> = BTreeSet::new();
    let mut left: Vec<&RecoverySituation> = chosen.to_vec();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let is_ready = |situation: &&RecoverySituation| {
            let mut needs = situation.service.depends_on.iter();
            needs.all(|need| !asked.contains(need) || placed.contains(need))
        };
        let (ready, waiting): (Vec<_>, Vec<_>) = left.into_iter().partition(is_ready);
        if ready.is_empty() {
            let circle = waiting.iter().map(|situation| situation.service.key.service_id.clone()).collect();
            return Err(RecoveryUnplannable::Circle(circle));
        }
        placed.extend(ready.iter().map(|situation| &situation.service.key.service_id));
        waves.push(ready);
        left = waiting;
    }
    Ok(waves)
}

fn service_recovery(
    situation: &RecoverySituation,
    request: &RecoveryRequest,
) -> Result<ServiceRecovery, String> {
    let service = &situation.service;
    let images = eligible_images(situation, request.at_or_before)?;
    let machines = service
        .machines
        .iter()
        .map(|machine| {
            let key = service.key.machine(machine.machine_id.clone());
            let own = images.get(&key).cloned().unwrap_or_default();
            let (first, rest) =
                own.split_first().ok_or_else(|| unproven(situation, &key, request.at_or_before))?;
            Ok(MachineRecovery {
                machine: key.clone(),
                image_id: first.image_id.clone(),
                recovery_point: first.recovery_point,
                fallbacks: rest.iter().take(MOST_FALLBACKS).map(|image| fallback(image)).collect(),
                instance_types: machine.instance_types.clone(),
                zones: machine.zones.clone(),
                ssh_key_name: service.ssh_key_name.clone(),
                launch_slot: Seconds(0.0),
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(ServiceRecovery {
        service: service.key.clone(),
        recovery_time_objective: service.objectives.recovery_time,
        recovery_point_objective: service.objectives.recovery_point,
        machines,
    })
}

fn fallback(image: &Image) -> FallbackImage {
    FallbackImage { image_id: image.image_id.clone(), recovery_point: image.recovery_point }
}

/// The images of each machine that may be started, newest first. A service of several machines comes back at moments
/// that all of them share: complete groups only.
fn eligible_images(
    situation: &RecoverySituation,
    at_or_before: Option<Timestamp>,
) -> Result<BTreeMap<MachineKey, Vec<&Image>>, String> {
    let in_time = |image: &&Image| at_or_before.is_none_or(|limit| image.recovery_point <= limit);
    let mut images: BTreeMap<MachineKey, Vec<&Image>> = BTreeMap::new();
    for machine in &situation.service.machines {
        let key = situation.service.key.machine(machine.machine_id.clone());
        let own: Vec<&Image> = situation.images.get(&key).into_iter().flatten().filter(in_time).collect();
        if own.is_empty() {
            return Err(unproven(situation, &key, at_or_before));
        }
        images.insert(key, own);
    }
    if images.len() < 2 {
        return Ok(images);
    }
    let shared = groups_of_all(&images);
    if shared.is_empty() {
        return Err(format!(
            "the service {} has several machines, and no moment of which all of them have a proven image; take backups \
             of one group on all of them",
            situation.service.key
        ));
    }
    for own in images.values_mut() {
        own.retain(|image| image.group_id.as_ref().is_some_and(|group| shared.contains(group)));
    }
    Ok(images)
}

fn groups_of_all<'a>(images: &BTreeMap<MachineKey, Vec<&'a Image>>) -> BTreeSet<&'a BackupId> {
    let mut sets = images
        .values()
        .map(|own| own.iter().filter_map(|image| image.group_id.as_ref()).collect::<BTreeSet<_>>());
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |shared, own| shared.intersection(&own).copied().collect())
}

fn unproven(situation: &RecoverySituation, machine: &MachineKey, at_or_before: Option<Timestamp>) -> String {
    let when = at_or_before.map(|limit| format!(" at or before {limit}")).unwrap_or_default();
    match situation.newest_failures.get(machine) {
        Some(failure) => format!(
            "the machine {machine} has no proven image{when}; its newest refresh failed: {failure}. Mend the cause and \
             run a refresh, or restore the backup by hand"
        ),
        None => format!(
            "the machine {machine} has no proven image{when}, and no refresh of it has failed: no backup set has \
             arrived yet. Take a full backup"
        ),
    }
}

/// Spreads the launches of a wave within the provider's budget.
fn with_launch_slots(mut services: Vec<ServiceRecovery>) -> Vec<ServiceRecovery> {
    let machines = services.iter_mut().flat_map(|service| service.machines.iter_mut());
    for (index, machine) in (0_u32..).zip(machines) {
        machine.launch_slot =
            Seconds(f64::from(index.saturating_sub(LAUNCH_BURST - 1)) / LAUNCHES_PER_SECOND);
    }
    services
}

/// The waves one after the other, each as long as its last launch slot and its slowest service. A service that was
/// never started before is taken to need its objective.
fn predicted_time(waves: &[Wave], chosen: &[&RecoverySituation]) -> Seconds {
    let start_of = |key: &ServiceKey| {
        let situation = chosen.iter().find(|situation| situation.service.key == *key);
        situation.map_or(0.0, |s| s.measured_start.unwrap_or(s.service.objectives.recovery_time).0)
    };
    let wave_time = |wave: &Wave| {
        let last_slot = wave
            .services
            .iter()
            .flat_map(|service| &service.machines)
            .map(|machine| machine.launch_slot.0)
            .fold(0.0, f64::max);
        let slowest = wave.services.iter().map(|service| start_of(&service.service)).fold(0.0, f64::max);
        last_slot + slowest
    };
    Seconds(waves.iter().map(wave_time).sum())
}

fn predicted_point(waves: &[Wave], declared_at: Timestamp) -> Seconds {
    let machines = waves.iter().flat_map(|wave| &wave.services).flat_map(|service| &service.machines);
    let oldest = machines.map(|machine| machine.recovery_point).min();
    oldest.map_or(Seconds(0.0), |oldest| Seconds::between(oldest, declared_at))
}

/// What every one of the services has approved beforehand, and the shortest deadline.
fn strictest_approval(chosen: &[&RecoverySituation]) -> ApprovalPolicy {
    let mut policies = chosen.iter().map(|situation| &situation.service.approval);
    let Some(first) = policies.next() else {
        return ApprovalPolicy {
            name: "none".to_owned(),
            approved_beforehand: Vec::new(),
            deadline: Seconds(3600.0),
        };
    };
    policies.fold(first.clone(), |mut strictest, policy| {
        strictest.approved_beforehand.retain(|kind| policy.approved_beforehand.contains(kind));
        if policy.deadline.0 < strictest.deadline.0 {
            strictest.deadline = policy.deadline;
        }
        if policy.name != strictest.name {
            strictest.name = format!("{} and {}", strictest.name, policy.name);
        }
        strictest
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose fixtures do not parse has failed")]
    use rekindle_domain::{
        CustomerId, Digest, ImageId, ImageVerdict, Lineage, Machine, MachineId, Objectives, SetPosition,
        Verdict,
    };

    use super::*;

    pub(super) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    pub(super) fn situation(name: &str, machines: &[&str], depends_on: &[&str]) -> RecoverySituation {
        let key = ServiceKey {
            customer_id: CustomerId::parse("acme").unwrap(),
            service_id: ServiceId::parse(name).unwrap(),
        };
        RecoverySituation {
            service: Service {
                key,
                display_name: name.to_owned(),
                objectives: Objectives { recovery_time: Seconds(60.0), recovery_point: Seconds(3600.0) },
                depends_on: depends_on.iter().map(|id| ServiceId::parse(id).unwrap()).collect(),
                machines: machines
                    .iter()
                    .map(|id| Machine {
                        machine_id: MachineId::parse(id).unwrap(),
                        base_image: Some(ImageId::parse("base").unwrap()),
                        instance_types: vec!["small".into()],
                        zones: vec!["a".into()],
                    })
                    .collect(),
                ssh_key_name: "key".into(),
                signing_keys: vec![],
                configuration: None,
                approval: ApprovalPolicy {
                    name: "people".into(),
                    approved_beforehand: vec![RecoveryKind::Rehearsal],
                    deadline: Seconds(900.0),
                },
                concurrent_builders: 1,
            },
            images: BTreeMap::new(),
            newest_failures: BTreeMap::new(),
            measured_start: None,
        }
    }

    pub(super) fn with_image(
        mut situation: RecoverySituation,
        machine: &str,
        name: &str,
        at_second: i64,
        group: &str,
    ) -> RecoverySituation {
        let key = situation.service.key.machine(MachineId::parse(machine).unwrap());
        let backup_id = BackupId::mint();
        let image = Image {
            image_id: ImageId::parse(name).unwrap(),
            machine: key.clone(),
            run_id: RunId::mint(),
            group_id: Some(BackupId::parse(&format!("01ARZ3NDEKTSV4RRFFQ69G5FA{group}")).unwrap()),
            backup_id: backup_id.clone(),
            position: SetPosition { incarnation: 1, sequence: 1 },
            revision: Some(Digest::of(b"r")),
            configuration_counter: 1,
            recovery_point: at(at_second),
            verdict: ImageVerdict::DataProven,
            evidence: Verdict { checks: vec![], recovery_point: None, verified_at: at(at_second) },
            lineage: Lineage {
                parent_image_id: ImageId::parse("base").unwrap(),
                from_base: true,
                applied: vec![],
            },
            available_at: at(at_second),
            size_bytes: None,
        };
        situation.images.entry(key).or_default().push(image);
        situation
    }

    pub(super) fn request() -> RecoveryRequest {
        RecoveryRequest {
            run_id: RunId::mint(),
            kind: RecoveryKind::Disaster,
            requested_by: "ann".into(),
            reason: "fire".into(),
            declared_at: at(1000),
            services: vec![],
            at_or_before: None,
            target: None,
        }
    }

    #[test]
    fn services_start_after_what_they_depend_on() {
        let web = with_image(situation("web", &["m"], &["orders"]), "m", "w1", 900, "V");
        let orders = with_image(situation("orders", &["m"], &[]), "m", "o1", 800, "V");
        let plan = plan_recovery(&request(), &[web, orders], at(1001)).unwrap();
        let names: Vec<Vec<&str>> = plan
            .waves
            .iter()
            .map(|wave| wave.services.iter().map(|service| service.service.service_id.as_str()).collect())
            .collect();
        assert_eq!(names, vec![vec!["orders"], vec!["web"]]);
        assert_eq!(plan.predicted_recovery_point, Seconds(200.0));
        assert_eq!(plan.predicted_recovery_time, Seconds(120.0));
    }

    #[test]
    fn a_circle_of_services_is_no_plan() {
        let one = with_image(situation("one", &["m"], &["two"]), "m", "i1", 1, "V");
        let two = with_image(situation("two", &["m"], &["one"]), "m", "i2", 1, "V");
        let error = plan_recovery(&request(), &[one, two], at(0)).unwrap_err();
        assert!(matches!(error, RecoveryUnplannable::Circle(services) if services.len() == 2));
    }

    #[test]
    fn without_a_proven_image_the_newest_failed_verdict_is_named() {
        let mut bare = situation("orders", &["m"], &[]);
        let key = bare.service.key.machine(MachineId::parse("m").unwrap());
        bare.newest_failures.insert(key, "the heartbeat was yesterday's".into());
        let error = plan_recovery(&request(), &[bare], at(0)).unwrap_err();
        assert!(error.to_string().contains("the heartbeat was yesterday's"), "{error}");
    }

    #[test]
    fn one_service_that_cannot_be_recovered_does_not_hold_up_the_others() {
        let good = with_image(situation("good", &["m"], &[]), "m", "i1", 1, "V");
        let plan = plan_recovery(&request(), &[good, situation("bare", &["m"], &[])], at(0)).unwrap();
        assert_eq!(plan.waves.len(), 1);
        assert_eq!(plan.not_recoverable.len(), 1);
    }

    #[test]
    fn several_machines_come_back_at_one_moment() {
        let service = situation("shop", &["a", "b"], &[]);
        let service = with_image(service, "a", "a2", 20, "W");
        let service = with_image(service, "a", "a1", 10, "V");
        let service = with_image(service, "b", "b1", 11, "V");
        let plan = plan_recovery(&request(), &[service], at(0)).unwrap();
        let images: Vec<&str> = plan.machines().map(|machine| machine.image_id.as_str()).collect();
        assert_eq!(images, vec!["a1", "b1"]);
    }

    #[test]
    fn a_recovery_to_an_earlier_moment_takes_an_earlier_image() {
        let service = situation("shop", &["a"], &[]);
        let service = with_image(with_image(service, "a", "new", 20, "W"), "a", "old", 10, "V");
        let request = RecoveryRequest { at_or_before: Some(at(15)), ..request() };
        let plan = plan_recovery(&request, &[service], at(0)).unwrap();
        assert_eq!(plan.waves[0].services[0].machines[0].image_id.as_str(), "old");
    }

    #[test]
    fn launches_are_spread_within_the_budget() {
        let names: Vec<String> = (0..9).map(|index| format!("s{index}")).collect();
        let situations: Vec<RecoverySituation> =
            names.iter().map(|name| with_image(situation(name, &["m"], &[]), "m", name, 1, "V")).collect();
        let plan = plan_recovery(&request(), &situations, at(0)).unwrap();
        let slots: Vec<f64> = plan.machines().map(|machine| machine.launch_slot.0).collect();
        assert_eq!(slots, vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0]);
    }

    #[test]
    fn the_plans_name_is_its_content() {
        let service = with_image(situation("shop", &["a"], &[]), "a", "i", 1, "V");
        let plan = plan_recovery(&request(), &[service], at(0)).unwrap();
        let mut other = plan.clone();
        assert_eq!(plan.plan_id().unwrap(), other.plan_id().unwrap());
        other.isolated_network = true;
        assert_ne!(plan.plan_id().unwrap(), other.plan_id().unwrap());
    }
}
