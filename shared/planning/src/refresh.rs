//! What a refresh has to do: the newest complete chain of backup sets and the current configuration, against the
//! newest proven image. It looks at what is, never at what an event said, so lost, doubled and reordered events lead
//! to the same image.

use std::collections::BTreeMap;

use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{BackupId, BackupKind, BackupSet, Digest, Image, ImageId, RevisionId, SetPosition};

/// A backup set that the register knows.
#[derive(Debug, Clone, Copy)]
pub struct KnownSet<'a> {
    /// Its description.
    pub set: &'a BackupSet,
    /// Whether it may be used: accepted, and neither refused nor set aside.
    pub usable: bool,
}

/// What is known of a machine.
#[derive(Debug, Clone)]
pub struct MachineSituation<'a> {
    /// Its sets, in any order.
    pub sets: Vec<KnownSet<'a>>,
    /// Its newest proven image.
    pub newest_image: Option<&'a Image>,
    /// What its first image is built from; none where nobody has named it yet.
    pub base_image: Option<&'a ImageId>,
    /// The configuration that its images should have.
    pub configuration: Option<&'a CurrentConfiguration>,
    /// The highest incarnation that may be used without asking a person; none before the first image.
    pub approved_incarnation: Option<u64>,
}

/// Work that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What the builder starts from.
    pub parent_image_id: ImageId,
    /// Whether that is the base image.
    pub from_base: bool,
    /// What the parent holds already.
    pub applied: Option<SetPosition>,
    /// The sets to apply, oldest first; empty when only the configuration changes.
    pub sets: Vec<BackupId>,
    /// What the new image will hold.
    pub target: SetPosition,
    /// The configuration to bring the image to, when it is not the parent's.
    pub update_configuration_to: Option<RevisionId>,
    /// The configuration of the new image, and its counter.
    pub configuration: Option<CurrentConfiguration>,
    /// Key under which failures of exactly this work are counted.
    pub attempt_key: Digest,
}

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Work.
    Work(Box<Work>),
    /// Nothing: the sentence says why.
    Nothing(String),
    /// Newer sets have arrived, and none of them can be applied: the sentence names the newest one and what it lacks.
    Unusable(String),
    /// Sets have arrived that need the base image, and nobody has named one: the sentence says what to do.
    NoBaseImage(String),
    /// A set of a new incarnation waits for a person: the history of the primary has forked.
    AskAboutIncarnation(u64),
}

/// Finds the work that is due for a machine.
pub fn find_work(situation: &MachineSituation<'_>) -> Found {
    let by_id: BTreeMap<&BackupId, KnownSet<'_>> =
        situation.sets.iter().map(|known| (&known.set.backup_id, *known)).collect();
    let applied = situation.newest_image.map(|image| image.position);
    let mut candidates: Vec<&BackupSet> = situation
        .sets
        .iter()
        .filter(|known| known.usable && applied.is_none_or(|applied| known.set.position > applied))
        .map(|known| known.set)
        .collect();
    candidates.sort_by_key(|set| std::cmp::Reverse(set.position));

    let mut unapproved = None;
    let mut broken = None;
    for candidate in candidates {
        if situation.approved_incarnation.is_some_and(|approved| candidate.position.incarnation > approved) {
            unapproved = Some(candidate.position.incarnation);
            continue;
        }
        if let Some(image) = situation.newest_image
            && let Some(chain) = chain_onto_image(candidate, &by_id, image)
        {
            return Found::Work(Box::new(work(situation, candidate.position, &chain, Parent::Image(image))));
        }
        if let Some(chain) = chain_from_full(candidate, &by_id) {
            let Some(base) = situation.base_image else {
                return Found::NoBaseImage(no_base_image(candidate));
            };
            return Found::Work(Box::new(work(situation, candidate.position, &chain, Parent::Base(base))));
        }
        broken = broken.or(Some(candidate));
    }
    match (configuration_work(situation), unapproved, broken) {
        (Some(work), _, _) => Found::Work(Box::new(work)),
        (None, Some(incarnation), _) => Found::AskAboutIncarnation(incarnation),
        (None, None, Some(set)) => Found::Unusable(unusable_because(set)),
        (None, None, None) => Found::Nothing(nothing_because(situation)),
    }
}

/// The sets from just after the image up to the target, when each continues the one before. A full set continues
/// anything: it replaces the data and keeps the configuration.
fn chain_onto_image<'a>(
    target: &'a BackupSet,
    by_id: &BTreeMap<&BackupId, KnownSet<'a>>,
    image: &Image,
) -> Option<Vec<&'a BackupSet>> {
    let mut chain = Vec::new();
    let mut set = target;
    loop {
        if set.position <= image.position {
            return None; // The chain passes the image by: it branched off before it.
        }
        chain.push(set);
        match (&set.kind, &set.parent_id) {
            (BackupKind::Full, _) => break,
            (BackupKind::Incremental, Some(parent)) if *parent == image.backup_id => break,
            (BackupKind::Incremental, parent) => set = usable_parent(parent.as_ref(), set, by_id)?,
        }
    }
    chain.reverse();
    Some(chain)
}

/// The sets from the newest full one up to the target, for a start from the base image.
fn chain_from_full<'a>(
    target: &'a BackupSet,
    by_id: &BTreeMap<&BackupId, KnownSet<'a>>,
) -> Option<Vec<&'a BackupSet>> {
    let mut chain = vec![target];
    let mut set = target;
    while set.kind == BackupKind::Incremental {
        set = usable_parent(set.parent_id.as_ref(), set, by_id)?;
        chain.push(set);
    }
    chain.reverse();
    Some(chain)
}

/// The parent, when it is known, usable and older: a chain that goes round in a circle ends here.
fn usable_parent<'a>(
    parent: Option<&BackupId>,
    child: &BackupSet,
    by_id: &BTreeMap<&BackupId, KnownSet<'a>>,
) -> Option<&'a BackupSet> {
    by_id
        .get(parent?)
        .filter(|known| known.usable && known.set.position < child.position)
        .map(|known| known.set)
}

/// What the builder starts from.
#[derive(Clone, Copy)]
enum Parent<'a> {
    Base(&'a ImageId),
    Image(&'a Image),
}

impl<'a> Parent<'a> {
    fn image(self) -> Option<&'a Image> {
        match self {
            Self::Base(_) => None,
            Self::Image(image) => Some(image),
        }
    }

    fn image_id(self) -> &'a ImageId {
        match self {
            Self::Base(image_id) => image_id,
            Self::Image(image) => &image.image_id,
        }
    }
}

fn work(
    situation: &MachineSituation<'_>,
    target: SetPosition,
    chain: &[&BackupSet],
    parent: Parent<'_>,
) -> Work {
    let sets: Vec<BackupId> = chain.iter().map(|set| set.backup_id.clone()).collect();
    let recipes: String = chain.iter().map(|set| set.recipes_digest().to_string()).collect();
    let parent_image_id = parent.image_id().clone();
    let configuration = situation.configuration.cloned();
    let inside = parent.image().and_then(|image| image.revision.as_ref());
    let wanted = configuration.as_ref().map(|configuration| &configuration.revision);
    Work {
        attempt_key: attempt_key(&sets, &parent_image_id, wanted, &recipes),
        update_configuration_to: wanted.filter(|wanted| inside != Some(*wanted)).cloned(),
        from_base: parent.image().is_none(),
        applied: parent.image().map(|image| image.position),
        parent_image_id,
        sets,
        target,
        configuration,
    }
}

/// A configuration was published since the newest image was made, and no set is newer than that image.
fn configuration_work(situation: &MachineSituation<'_>) -> Option<Work> {
    let image = situation.newest_image?;
    let wanted = situation.configuration?;
    let is_newer =
        wanted.counter > image.configuration_counter && image.revision.as_ref() != Some(&wanted.revision);
    is_newer.then(|| work(situation, image.position, &[], Parent::Image(image)))
}

fn attempt_key(sets: &[BackupId], parent: &ImageId, revision: Option<&RevisionId>, recipes: &str) -> Digest {
    let names: Vec<&str> = sets.iter().map(BackupId::as_str).collect();
    let revision = revision.map_or("none", Digest::as_str);
    Digest::of(format!("sets {names:?} onto {parent} at {revision} by {recipes}").as_bytes())
}

fn unusable_because(set: &BackupSet) -> String {
    let parent = set.parent_id.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "the newest backup set {} ({}) continues {parent}, and no complete chain of usable sets leads there. Unless the \
         missing set arrives, take a new full backup; until then the previous image stays current",
        set.backup_id, set.position
    )
}

fn no_base_image(set: &BackupSet) -> String {
    format!(
        "the backup set {} ({}) has arrived, and the machine has no base image that it could be restored into. Make a \
         base image and name it in the service; the next sweep then starts the refresh",
        set.backup_id, set.position
    )
}

fn nothing_because(situation: &MachineSituation<'_>) -> String {
    if let Some(image) = situation.newest_image {
        return format!(
            "the newest image {} already holds the newest usable backup set ({})",
            image.image_id, image.position
        );
    }
    if situation.sets.is_empty() {
        return "no backup set has arrived yet; the first full backup starts the first refresh".to_owned();
    }
    "no usable backup set has arrived; take a full backup".to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose fixtures do not parse has failed")]
    use rekindle_domain::backup_set::{
        DataStoreBackup, Encryption, Engine, Heartbeat, ObjectRole, RecipeReference, RecoveryPoint, SetObject,
    };
    use rekindle_domain::{Bytes, ImageVerdict, Lineage, MachineKey, ObjectKey, RunId, Verdict};

    use super::*;

    fn machine() -> MachineKey {
        MachineKey::parse("acme/orders/database").unwrap()
    }

    fn set(incarnation: u64, sequence: u64, parent: Option<&BackupSet>) -> BackupSet {
        let backup_id = BackupId::mint();
        let time = jiff::Timestamp::UNIX_EPOCH;
        let key = ObjectKey::parse(&format!("{}orders/0", machine().set_prefix(&backup_id))).unwrap();
        BackupSet {
            schema_version: 1,
            machine: machine(),
            backup_id,
            group_id: None,
            position: SetPosition { incarnation, sequence },
            kind: if parent.is_some() { BackupKind::Incremental } else { BackupKind::Full },
            parent_id: parent.map(|parent| parent.backup_id.clone()),
            started_at: time,
            finished_at: time,
            data_stores: vec![DataStoreBackup {
                name: "orders".into(),
                recipe: RecipeReference {
                    name: "sqlite".into(),
                    version: "1".into(),
                    sha256: Digest::of(b"r"),
                },
                engine: Engine { name: "sqlite".into(), version: "3".into() },
                objects: vec![SetObject {
                    key,
                    size_bytes: Bytes(1),
                    sha256: Digest::of(b"o"),
                    role: ObjectRole::Data,
                    order: 0,
                }],
                recovery_point: RecoveryPoint {
                    time,
                    position: "p".into(),
                    from_position: parent.map(|_| "q".into()),
                    heartbeat: Heartbeat { sequence, at: time },
                },
            }],
            encryption: Encryption {
                format: "age/v1".into(),
                recipients: vec![],
                compression: "zstd".into(),
            },
            agent_version: "0".into(),
        }
    }

    fn image_of(set: &BackupSet) -> Image {
        Image {
            image_id: ImageId::parse(&format!("img-{}", set.position.sequence)).unwrap(),
            machine: machine(),
            run_id: RunId::mint(),
            backup_id: set.backup_id.clone(),
            group_id: None,
            position: set.position,
            revision: None,
            configuration_counter: 0,
            recovery_point: set.finished_at,
            verdict: ImageVerdict::DataProven,
            evidence: Verdict { checks: vec![], recovery_point: None, verified_at: set.finished_at },
            lineage: Lineage {
                parent_image_id: ImageId::parse("base").unwrap(),
                from_base: true,
                applied: vec![],
            },
            available_at: set.finished_at,
            size_bytes: None,
        }
    }

    fn find(sets: &[(&BackupSet, bool)], image: Option<&Image>) -> Found {
        let base = ImageId::parse("base").unwrap();
        find_work(&MachineSituation {
            sets: sets.iter().map(|(set, usable)| KnownSet { set, usable: *usable }).collect(),
            newest_image: image,
            base_image: Some(&base),
            configuration: None,
            approved_incarnation: image.map(|image| image.position.incarnation),
        })
    }

    #[test]
    fn without_a_base_image_nothing_is_built_from_it() {
        let full = set(1, 1, None);
        let situation = |image| MachineSituation {
            sets: vec![KnownSet { set: &full, usable: true }],
            newest_image: image,
            base_image: None,
            configuration: None,
            approved_incarnation: None,
        };
        assert!(
            matches!(find_work(&situation(None)), Found::NoBaseImage(cause) if cause.contains("base image"))
        );
    }

    fn sets_of(found: Found) -> Vec<BackupId> {
        match found {
            Found::Work(work) => work.sets,
            other => panic!("no work: {other:?}"),
        }
    }

    #[test]
    fn the_first_image_is_built_from_the_base_and_the_newest_chain() {
        let full = set(1, 1, None);
        let first = set(1, 2, Some(&full));
        let second = set(1, 3, Some(&first));
        let found = find(&[(&second, true), (&full, true), (&first, true)], None);
        assert_eq!(
            sets_of(found),
            vec![full.backup_id.clone(), first.backup_id.clone(), second.backup_id.clone()]
        );
    }

    #[test]
    fn an_image_is_continued_with_what_came_after_it() {
        let full = set(1, 1, None);
        let first = set(1, 2, Some(&full));
        let second = set(1, 3, Some(&first));
        let image = image_of(&full);
        let Found::Work(work) = find(&[(&second, true), (&first, true), (&full, true)], Some(&image)) else {
            panic!("no work")
        };
        assert_eq!(work.sets, vec![first.backup_id.clone(), second.backup_id.clone()]);
        assert_eq!(work.parent_image_id, image.image_id);
        assert_eq!(work.applied, Some(full.position));
    }

    #[test]
    fn a_full_set_goes_onto_the_image_so_that_its_configuration_is_kept() {
        let full = set(1, 1, None);
        let next = set(1, 2, None);
        let image = image_of(&full);
        let Found::Work(work) = find(&[(&full, true), (&next, true)], Some(&image)) else {
            panic!("no work")
        };
        assert!(!work.from_base);
        assert_eq!(work.sets, vec![next.backup_id.clone()]);
    }

    #[test]
    fn a_broken_chain_falls_back_to_what_is_complete() {
        let full = set(1, 1, None);
        let lost = set(1, 2, Some(&full));
        let orphan = set(1, 3, Some(&lost));
        assert_eq!(sets_of(find(&[(&full, true), (&orphan, true)], None)), vec![full.backup_id.clone()]);
        assert_eq!(
            sets_of(find(&[(&full, true), (&lost, false), (&orphan, true)], None)),
            vec![full.backup_id.clone()]
        );
        let image = image_of(&full);
        assert!(matches!(find(&[(&full, true), (&orphan, true)], Some(&image)), Found::Unusable(_)));
    }

    #[test]
    fn the_register_never_goes_back() {
        let old = set(1, 1, None);
        let new = set(1, 2, None);
        let image = image_of(&new);
        assert!(matches!(find(&[(&old, true), (&new, true)], Some(&image)), Found::Nothing(_)));
    }

    #[test]
    fn a_new_incarnation_waits_for_a_person() {
        let old = set(1, 7, None);
        let forked = set(2, 1, None);
        let image = image_of(&old);
        assert_eq!(find(&[(&old, true), (&forked, true)], Some(&image)), Found::AskAboutIncarnation(2));
    }

    #[test]
    fn parents_in_a_circle_are_no_chain() {
        let mut first = set(1, 1, None);
        let second = set(1, 2, Some(&first));
        first.kind = BackupKind::Incremental;
        first.parent_id = Some(second.backup_id.clone());
        assert!(matches!(find(&[(&first, true), (&second, true)], None), Found::Unusable(_)));
    }

    #[test]
    fn the_same_work_has_the_same_key_and_other_work_another() {
        let full = set(1, 1, None);
        let next = set(1, 2, None);
        let key = |found| match found {
            Found::Work(work) => work.attempt_key,
            other => panic!("no work: {other:?}"),
        };
        assert_eq!(key(find(&[(&full, true)], None)), key(find(&[(&full, true)], None)));
        assert_ne!(key(find(&[(&full, true)], None)), key(find(&[(&full, true), (&next, true)], None)));
    }
}
