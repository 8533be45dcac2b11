//! What a rebuild does about each thing that the register and the cloud do not agree on. Nothing good is deleted: an
//! image that nobody vouches for is kept apart, and an instance that may serve is left alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use rekindle_domain::register_epoch::{
    DoubtfulImage, FoundImage, KeptInstance, MANIFEST_SCHEMA_VERSION, MachineFindings,
};
use rekindle_domain::{
    BackupSet, Digest, Image, ImageId, ImageManifest, MachineKey, Rebuild, RebuildFindings, RebuildMode,
    RebuildState, Run, RunId, RunState,
};

use crate::sweep::ExecutionStanding;

/// How long an image that nobody vouches for is kept.
pub const QUARANTINE: SignedDuration = SignedDuration::from_hours(24 * 14);

/// Something that carries the tags of a machine and of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The provider's id.
    pub id: String,
    /// The run that its tag names.
    pub run_id: RunId,
    /// What it is.
    pub kind: TaggedKind,
}

/// What carries the tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaggedKind {
    /// An image that can be started.
    AvailableImage(ImageId),
    /// An image that is being made, or could not be.
    UnfinishedImage(ImageId),
    /// An instance.
    Instance,
}

/// What is known of a run whose id stands somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunKnowledge {
    /// Whether the register has it.
    pub is_recorded: bool,
    /// How an execution of this name stands among the refreshes.
    pub refresh: ExecutionStanding,
}

/// A manifest, and what speaks against it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedManifest {
    /// The manifest.
    pub manifest: ImageManifest,
    /// One sentence, when it proves nothing.
    pub objection: Option<String>,
}

/// Everything that is known about a machine.
#[derive(Debug)]
pub struct MachineKnowledge<'a> {
    /// Which machine.
    pub machine: &'a MachineKey,
    /// Its registered images.
    pub registered: &'a [Image],
    /// Its images that are kept apart already.
    pub quarantined: &'a BTreeSet<ImageId>,
    /// The manifests of its images.
    pub manifests: &'a [JudgedManifest],
    /// Why the manifests of these runs cannot be read: that is not the same as if there were none.
    pub unreadable: &'a BTreeMap<RunId, String>,
    /// What is there.
    pub tagged: &'a [Tagged],
    /// Its refreshes that the register believes open.
    pub open: &'a [RunId],
    /// Who holds its lease.
    pub holder: Option<&'a RunId>,
    /// Every run that is named above.
    pub runs: &'a BTreeMap<RunId, RunKnowledge>,
}

impl MachineKnowledge<'_> {
    fn run(&self, run_id: &RunId) -> RunKnowledge {
        let unknown = RunKnowledge { is_recorded: false, refresh: ExecutionStanding::Unknown };
        self.runs.get(run_id).copied().unwrap_or(unknown)
    }

    fn refreshes_still(&self, run_id: &RunId) -> bool {
        self.run(run_id).refresh == ExecutionStanding::Running
    }
}

/// What does not agree about a machine, and what is to be done about it; and the refreshes that are waited for.
pub fn machine_findings(known: &MachineKnowledge<'_>) -> (MachineFindings, Vec<RunId>) {
    let mut findings = MachineFindings {
        machine: known.machine.clone(),
        adopt: Vec::new(),
        quarantine: Vec::new(),
        missing: missing(known),
        close: known.open.iter().filter(|run_id| !known.refreshes_still(run_id)).cloned().collect(),
        clean_up: Vec::new(),
        keep: Vec::new(),
        release: known.holder.filter(|holder| !known.refreshes_still(holder)).cloned(),
    };
    for tagged in known.tagged {
        match &tagged.kind {
            TaggedKind::AvailableImage(image_id) => judge_image(known, tagged, image_id, &mut findings),
            TaggedKind::UnfinishedImage(image_id) => {
                judge_unfinished_image(known, tagged, image_id, &mut findings);
            }
            TaggedKind::Instance => judge_instance(known, tagged, &mut findings),
        }
    }
    in_order(&mut findings);
    let named = known.open.iter().chain(known.holder).chain(known.tagged.iter().map(|tagged| &tagged.run_id));
    let at_work: BTreeSet<RunId> = named.filter(|run_id| known.refreshes_still(run_id)).cloned().collect();
    (findings, at_work.into_iter().collect())
}

/// Whether nothing is found that a rebuild would do or a person has to look at.
pub fn agrees(findings: &MachineFindings) -> bool {
    let MachineFindings { machine: _, adopt, quarantine, missing, close, clean_up, keep, release } = findings;
    adopt.is_empty()
        && quarantine.is_empty()
        && missing.is_empty()
        && close.is_empty()
        && clean_up.is_empty()
        && keep.is_empty()
        && release.is_none()
}

fn missing(known: &MachineKnowledge<'_>) -> Vec<ImageId> {
    let is_there = |image: &&Image| known.tagged.iter().any(|tagged| tagged.id == image.image_id.as_str());
    known.registered.iter().filter(|image| !is_there(image)).map(|image| image.image_id.clone()).collect()
}

/// An image that can be started: known, proven by its manifest, or kept apart.
fn judge_image(
    known: &MachineKnowledge<'_>,
    tagged: &Tagged,
    image_id: &ImageId,
    findings: &mut MachineFindings,
) {
    let is_known = known.registered.iter().any(|image| image.image_id == *image_id);
    if is_known || known.refreshes_still(&tagged.run_id) {
        return;
    }
    let run_id = tagged.run_id.clone();
    let judged = known.manifests.iter().find(|judged| judged.manifest.image.image_id == *image_id);
    let objection = match judged {
        None => Some(match known.unreadable.get(&run_id) {
            Some(cause) => format!("its manifest cannot be read: {cause}"),
            None => "the control bucket holds no manifest of it".to_owned(),
        }),
        Some(judged) if judged.manifest.image.run_id != run_id => {
            Some("its manifest names another run than its tag does".to_owned())
        }
        Some(judged) => judged.objection.clone(),
    };
    match (objection, judged) {
        (None, Some(judged)) => findings.adopt.push(FoundImage {
            image_id: image_id.clone(),
            run_id,
            recovery_point: judged.manifest.image.recovery_point,
        }),
        _ if known.quarantined.contains(image_id) => {}
        (objection, _) => {
            let (image_id, cause) = (image_id.clone(), objection.unwrap_or_default());
            findings.quarantine.push(DoubtfulImage { image_id, run_id, cause });
        }
    }
}

/// What becomes of something that cannot be adopted.
enum Leftover {
    /// The register knows its run, or the run is at work.
    Stays,
    /// A refresh that is over has left it, and the register has forgotten the refresh.
    CleanUp,
    /// Nobody knows what made it.
    Unknown,
}

fn leftover(known: &MachineKnowledge<'_>, tagged: &Tagged) -> Leftover {
    let run = known.run(&tagged.run_id);
    match run.refresh {
        _ if run.is_recorded => Leftover::Stays,
        ExecutionStanding::Running => Leftover::Stays,
        ExecutionStanding::Terminal => Leftover::CleanUp,
        ExecutionStanding::Unknown => Leftover::Unknown,
    }
}

/// An instance that a refresh left can go; any other one may serve.
fn judge_instance(known: &MachineKnowledge<'_>, tagged: &Tagged, findings: &mut MachineFindings) {
    match leftover(known, tagged) {
        Leftover::Stays => {}
        Leftover::CleanUp => findings.clean_up.push(tagged.run_id.clone()),
        Leftover::Unknown => {
            let (instance_id, run_id) = (tagged.id.clone(), tagged.run_id.clone());
            findings.keep.push(KeptInstance { instance_id, run_id });
        }
    }
}

/// Nothing serves from an image that was never finished: what a refresh left can go, any other one is kept apart.
fn judge_unfinished_image(
    known: &MachineKnowledge<'_>,
    tagged: &Tagged,
    image_id: &ImageId,
    findings: &mut MachineFindings,
) {
    match leftover(known, tagged) {
        Leftover::Stays => {}
        Leftover::CleanUp => findings.clean_up.push(tagged.run_id.clone()),
        Leftover::Unknown if known.quarantined.contains(image_id) => {}
        Leftover::Unknown => findings.quarantine.push(DoubtfulImage {
            image_id: image_id.clone(),
            run_id: tagged.run_id.clone(),
            cause: "it was never finished, and its run is not known as a refresh".to_owned(),
        }),
    }
}

/// The same findings have the same digest, in whichever order the provider names things.
fn in_order(findings: &mut MachineFindings) {
    findings.adopt.sort_by(|one, other| one.image_id.cmp(&other.image_id));
    findings.quarantine.sort_by(|one, other| one.image_id.cmp(&other.image_id));
    findings.missing.sort();
    findings.close.sort();
    findings.clean_up.sort();
    findings.clean_up.dedup();
    findings.keep.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
}

/// What speaks against a manifest, held against the machine under whose name it lies and the description of the newest
/// set inside, which the customer has signed. `set` is that description, or why it is not to be believed.
pub fn objection(
    manifest: &ImageManifest,
    machine: &MachineKey,
    run_id: &RunId,
    set: Result<&BackupSet, &str>,
) -> Option<String> {
    let image = &manifest.image;
    if manifest.schema_version != MANIFEST_SCHEMA_VERSION {
        return Some(format!(
            "its manifest has the schema version {}, and this version reads {MANIFEST_SCHEMA_VERSION}",
            manifest.schema_version
        ));
    }
    if image.machine != *machine || image.run_id != *run_id {
        return Some("its manifest lies under the name of another image".to_owned());
    }
    if !image.evidence.passed() {
        return Some(format!("its manifest proves nothing: {}", image.evidence.sentence()));
    }
    match set {
        Err(cause) => Some(format!("the set {} inside it is not to be believed: {cause}", image.backup_id)),
        Ok(set) if set.position != image.position || set.group_id != image.group_id => Some(format!(
            "its manifest says another place in history than the signed set {}",
            image.backup_id
        )),
        Ok(_) => None,
    }
}

/// Whether a recovery is open and the register believes that it has made nothing: only then it is worth a look.
pub fn may_have_forgotten_replicas(run: &Run) -> bool {
    run.state == RunState::Open && run.last_intent_at.is_none()
}

/// Whether an open recovery that the register believes to have made nothing has made something after all. Replicas of a
/// rehearsal are destroyed; all others are kept until a person ends the recovery.
pub fn has_forgotten_replicas(run: &Run, is_rehearsal: bool, found: usize) -> bool {
    may_have_forgotten_replicas(run) && !is_rehearsal && found > 0
}

/// How a rebuild begins, or why it does not.
#[derive(Debug, PartialEq, Eq)]
pub struct Beginning {
    /// What it comes to: Requested as long as it waits.
    pub state: RebuildState,
    /// One sentence.
    pub note: String,
}

/// What is to become of a rebuild that was asked for, now that this was found. What is at work is waited for before it
/// begins: from then on nothing new can appear, and what was confirmed is what is done.
pub fn beginning(
    rebuild: &Rebuild,
    is_current: bool,
    findings: &RebuildFindings,
    digest: &Digest,
) -> Beginning {
    let (state, note) = match rebuild.mode {
        RebuildMode::DryRun => (RebuildState::Shown, "nothing was done: this is what was found".to_owned()),
        RebuildMode::Act if is_current => {
            (RebuildState::Shown, "nothing was done: the register is the current one".to_owned())
        }
        RebuildMode::Act if !findings.at_work.is_empty() => {
            let note = format!("waits for refreshes that are at work: {}", named(&findings.at_work));
            (RebuildState::Requested, note)
        }
        RebuildMode::Act if rebuild.confirmed.as_ref() != Some(digest) => {
            (RebuildState::Changed, "nothing was done: what is there is not what was confirmed".to_owned())
        }
        RebuildMode::Act if !findings.unknown_machines.is_empty() => {
            let note = format!(
                "nothing was done: the register does not know {}. Onboard their services again, and look again",
                named(&findings.unknown_machines)
            );
            (RebuildState::Changed, note)
        }
        RebuildMode::Act => (RebuildState::Acting, "begun".to_owned()),
    };
    Beginning { state, note }
}

fn named(things: &[impl ToString]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose fixtures do not parse has failed")]
    use jiff::Timestamp;
    use rekindle_domain::verdict::MINIMUM_PROOF;
    use rekindle_domain::{BackupId, Check, Flow, ImageVerdict, Lineage, SetPosition, Verdict};

    use super::*;

    fn machine() -> MachineKey {
        MachineKey::parse("acme/orders/database").unwrap()
    }

    fn image(id: &str, run_id: &RunId) -> Image {
        let check = |kind| Check {
            kind,
            name: "check".to_owned(),
            data_store: None,
            passed: true,
            explanation: "as expected".to_owned(),
        };
        Image {
            image_id: ImageId::parse(id).unwrap(),
            machine: machine(),
            run_id: run_id.clone(),
            backup_id: BackupId::mint(),
            group_id: None,
            position: SetPosition { incarnation: 1, sequence: 2 },
            revision: None,
            configuration_counter: 0,
            recovery_point: Timestamp::UNIX_EPOCH,
            verdict: ImageVerdict::DataProven,
            evidence: Verdict {
                checks: MINIMUM_PROOF.into_iter().map(check).collect(),
                recovery_point: Some(Timestamp::UNIX_EPOCH),
                verified_at: Timestamp::UNIX_EPOCH,
            },
            lineage: Lineage {
                parent_image_id: ImageId::parse("ami-base").unwrap(),
                from_base: true,
                applied: Vec::new(),
            },
            available_at: Timestamp::UNIX_EPOCH,
            size_bytes: None,
        }
    }

    fn manifest(image: Image, objection: Option<&str>) -> JudgedManifest {
        let manifest = ImageManifest {
            schema_version: MANIFEST_SCHEMA_VERSION,
            image,
            started_at: Timestamp::UNIX_EPOCH,
        };
        JudgedManifest { manifest, objection: objection.map(str::to_owned) }
    }

    fn available(id: &str, run_id: &RunId) -> Tagged {
        let kind = TaggedKind::AvailableImage(ImageId::parse(id).unwrap());
        Tagged { id: id.to_owned(), run_id: run_id.clone(), kind }
    }

    fn instance(id: &str, run_id: &RunId) -> Tagged {
        Tagged { id: id.to_owned(), run_id: run_id.clone(), kind: TaggedKind::Instance }
    }

    fn unfinished(id: &str, run_id: &RunId) -> Tagged {
        let kind = TaggedKind::UnfinishedImage(ImageId::parse(id).unwrap());
        Tagged { id: id.to_owned(), run_id: run_id.clone(), kind }
    }

    /// A machine of which nothing is known.
    struct Situation {
        machine: MachineKey,
        registered: Vec<Image>,
        quarantined: BTreeSet<ImageId>,
        manifests: Vec<JudgedManifest>,
        unreadable: BTreeMap<RunId, String>,
        tagged: Vec<Tagged>,
        open: Vec<RunId>,
        holder: Option<RunId>,
        runs: BTreeMap<RunId, RunKnowledge>,
    }

    impl Situation {
        fn new() -> Self {
            Self {
                machine: machine(),
                registered: Vec::new(),
                quarantined: BTreeSet::new(),
                manifests: Vec::new(),
                unreadable: BTreeMap::new(),
                tagged: Vec::new(),
                open: Vec::new(),
                holder: None,
                runs: BTreeMap::new(),
            }
        }

        fn run(&mut self, is_recorded: bool, refresh: ExecutionStanding) -> RunId {
            let run_id = RunId::mint();
            self.runs.insert(run_id.clone(), RunKnowledge { is_recorded, refresh });
            run_id
        }

        fn findings(&self) -> (MachineFindings, Vec<RunId>) {
            machine_findings(&MachineKnowledge {
                machine: &self.machine,
                registered: &self.registered,
                quarantined: &self.quarantined,
                manifests: &self.manifests,
                unreadable: &self.unreadable,
                tagged: &self.tagged,
                open: &self.open,
                holder: self.holder.as_ref(),
                runs: &self.runs,
            })
        }
    }

    use ExecutionStanding::{Running, Terminal, Unknown};

    #[test]
    fn a_forgotten_image_is_adopted_by_its_manifest_and_kept_apart_without_one() {
        let mut known = Situation::new();
        let (good, bare, doubtful, swapped) = (RunId::mint(), RunId::mint(), RunId::mint(), RunId::mint());
        let garbled = RunId::mint();
        known.unreadable.insert(garbled.clone(), "it is too long".to_owned());
        known.tagged = vec![
            available("ami-5", &garbled),
            available("ami-4", &swapped),
            available("ami-3", &doubtful),
            available("ami-2", &bare),
            available("ami-1", &good),
        ];
        known.manifests = vec![
            manifest(image("ami-1", &good), None),
            manifest(image("ami-3", &doubtful), Some("its set is not signed")),
            manifest(image("ami-4", &good), None),
        ];
        let (findings, at_work) = known.findings();
        let adopted: Vec<&str> = findings.adopt.iter().map(|found| found.image_id.as_str()).collect();
        let causes: Vec<&str> = findings.quarantine.iter().map(|found| found.cause.as_str()).collect();
        assert_eq!(adopted, ["ami-1"]);
        let expected = [
            "the control bucket holds no manifest of it",
            "its set is not signed",
            "its manifest names another run than its tag does",
            "its manifest cannot be read: it is too long",
        ];
        assert_eq!(causes, expected);
        assert!(at_work.is_empty() && findings.clean_up.is_empty());
    }

    #[test]
    fn what_is_known_is_left_as_it_is() {
        let mut known = Situation::new();
        let run_id = known.run(true, Terminal);
        known.registered = vec![image("ami-1", &run_id)];
        known.quarantined = BTreeSet::from([ImageId::parse("ami-2").unwrap()]);
        known.tagged =
            vec![available("ami-1", &run_id), available("ami-2", &run_id), instance("i-1", &run_id)];
        let (findings, _) = known.findings();
        assert!(agrees(&findings), "{findings:?}");
        known.tagged.clear();
        let (findings, _) = known.findings();
        assert_eq!(findings.missing, [ImageId::parse("ami-1").unwrap()]);
    }

    #[test]
    fn only_what_a_refresh_left_is_cleaned_up() {
        let mut known = Situation::new();
        let (refresh, recovery) = (known.run(false, Terminal), known.run(false, Unknown));
        let stranger = known.run(false, Unknown);
        known.tagged =
            vec![instance("i-1", &refresh), instance("i-2", &recovery), instance("i-3", &stranger)];
        let (findings, _) = known.findings();
        assert_eq!(findings.clean_up, [refresh]);
        let kept: Vec<&str> = findings.keep.iter().map(|kept| kept.instance_id.as_str()).collect();
        assert_eq!(kept, ["i-2", "i-3"]);
    }

    #[test]
    fn an_unfinished_image_is_no_instance_that_may_serve() {
        let mut known = Situation::new();
        let (refresh, stranger) = (known.run(false, Terminal), known.run(false, Unknown));
        let (recorded, running) = (known.run(true, Terminal), known.run(false, Running));
        known.tagged = vec![
            unfinished("ami-1", &refresh),
            unfinished("ami-2", &stranger),
            unfinished("ami-3", &recorded),
            unfinished("ami-4", &running),
        ];
        let (findings, _) = known.findings();
        assert_eq!((findings.clean_up, findings.keep), (vec![refresh], Vec::new()));
        let apart: Vec<&str> = findings.quarantine.iter().map(|found| found.image_id.as_str()).collect();
        assert_eq!(apart, ["ami-2"]);
        known.quarantined = BTreeSet::from([ImageId::parse("ami-2").unwrap()]);
        assert_eq!(known.findings().0.quarantine, []);
    }

    #[test]
    fn runs_that_nobody_carries_out_are_closed_and_their_leases_taken_away() {
        for standing in [Terminal, Unknown] {
            let mut known = Situation::new();
            let run_id = known.run(true, standing);
            known.open = vec![run_id.clone()];
            known.holder = Some(run_id.clone());
            let (findings, at_work) = known.findings();
            assert_eq!((findings.close, findings.release), (vec![run_id.clone()], Some(run_id)));
            assert_eq!(at_work, []);
        }
    }

    #[test]
    fn what_is_at_work_is_waited_for() {
        let mut known = Situation::new();
        let (open, forgotten) = (known.run(true, Running), known.run(false, Running));
        known.open = vec![open.clone()];
        known.holder = Some(open.clone());
        known.tagged = vec![instance("i-1", &forgotten), available("ami-1", &forgotten)];
        let (findings, at_work) = known.findings();
        assert!(agrees(&findings), "{findings:?}");
        assert_eq!(BTreeSet::from_iter(at_work), BTreeSet::from([open, forgotten]));
    }

    #[test]
    fn a_manifest_is_held_against_its_place_its_evidence_and_the_signed_set() {
        let run_id = RunId::mint();
        let good = manifest(image("ami-1", &run_id), None).manifest;
        let said = |manifest: &ImageManifest, run_id: &RunId| {
            objection(manifest, &machine(), run_id, Err("it is not signed")).unwrap()
        };
        assert!(said(&good, &run_id).ends_with("is not to be believed: it is not signed"));
        assert!(said(&good, &RunId::mint()).contains("another image"));
        let mut unproven = good.clone();
        unproven.image.evidence.checks.clear();
        assert!(said(&unproven, &run_id).contains("proves nothing"));
        let later = ImageManifest { schema_version: MANIFEST_SCHEMA_VERSION + 1, ..good };
        assert!(said(&later, &run_id).contains("schema version 2"));
    }

    fn asked(mode: RebuildMode, confirmed: Option<Digest>) -> Rebuild {
        Rebuild {
            rebuild_id: RunId::mint(),
            table_id: "table-1".to_owned(),
            mode,
            confirmed,
            requested_by: "ada".to_owned(),
            requested_at: Timestamp::UNIX_EPOCH,
            state: RebuildState::Requested,
            note: String::new(),
            at: Timestamp::UNIX_EPOCH,
            findings: None,
            findings_digest: None,
        }
    }

    #[test]
    fn a_rebuild_begins_when_nothing_is_at_work_and_what_was_confirmed_is_there() {
        let nothing = RebuildFindings::default();
        let digest = nothing.digest().unwrap();
        let confirmed = asked(RebuildMode::Act, Some(digest.clone()));
        let state = |rebuild: &Rebuild, is_current, findings: &RebuildFindings| {
            beginning(rebuild, is_current, findings, &digest).state
        };
        assert_eq!(state(&confirmed, false, &nothing), RebuildState::Acting);
        assert_eq!(state(&confirmed, true, &nothing), RebuildState::Shown);
        assert_eq!(state(&asked(RebuildMode::DryRun, None), false, &nothing), RebuildState::Shown);
        for confirmation in [None, Some(Digest::of(b"something else"))] {
            let other = asked(RebuildMode::Act, confirmation);
            assert_eq!(state(&other, false, &nothing), RebuildState::Changed);
        }
    }

    #[test]
    fn a_rebuild_that_cannot_begin_says_what_it_waits_for() {
        let run_id = RunId::mint();
        let busy = RebuildFindings { at_work: vec![run_id.clone()], ..RebuildFindings::default() };
        // Not even what was confirmed while it was at work: when it ends there is something else to look at.
        let digest = busy.digest().unwrap();
        let waits = beginning(&asked(RebuildMode::Act, Some(digest.clone())), false, &busy, &digest);
        assert_eq!(waits.state, RebuildState::Requested);
        assert!(waits.note.contains(run_id.as_str()), "{}", waits.note);
        let looks = beginning(&asked(RebuildMode::DryRun, None), false, &busy, &digest);
        assert_eq!(looks.state, RebuildState::Shown);

        let forgotten = RebuildFindings { unknown_machines: vec![machine()], ..RebuildFindings::default() };
        let digest = forgotten.digest().unwrap();
        let told = beginning(&asked(RebuildMode::Act, Some(digest.clone())), false, &forgotten, &digest);
        assert_eq!(told.state, RebuildState::Changed);
        assert!(told.note.contains("acme/orders/database. Onboard"), "{}", told.note);
    }

    #[test]
    fn replicas_that_the_register_has_forgotten_are_kept() {
        let now = Timestamp::UNIX_EPOCH;
        let run = Run::open(RunId::mint(), Flow::Recover, None, now, now);
        assert!(has_forgotten_replicas(&run, false, 1));
        assert!(!has_forgotten_replicas(&run, true, 1), "a rehearsal is destroyed");
        assert!(!has_forgotten_replicas(&run, false, 0));
        let remembers = Run { last_intent_at: Some(now), ..run };
        assert!(!has_forgotten_replicas(&remembers, false, 1));
    }
}
