//! What a rebuild decides by: the register, the cloud and the control bucket, held beside each other.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_cloud::{ImageState, RUN_TAG, Resource};
use rekindle_domain::{
    CustomerId, Flow, Image, ImageId, ImageManifest, MachineKey, QuarantinedImage, RebuildFindings,
    RecoveryKind, Run, RunId, RunState, Service,
};
use rekindle_planning::rebuild::{
    JudgedManifest, MachineKnowledge, RunKnowledge, Tagged, TaggedKind, agrees, has_forgotten_replicas,
    machine_findings, may_have_forgotten_replicas, objection,
};
use rekindle_step::StepError;
use rekindle_store::{ObjectStore, StoreError, get_or_not_found};

use crate::Sweep;

/// Longer than any manifest.
const LONGEST_MANIFEST_BYTES: u64 = 1024 * 1024;

/// What the control bucket holds of a run's image.
pub(super) enum KeptManifest {
    /// Nothing.
    Missing,
    /// Something that proves nothing; one sentence: why.
    Unreadable(String),
    /// Its manifest, which is still to be judged.
    Readable(Box<ImageManifest>),
}

/// What the manifests of a machine say.
#[derive(Default)]
struct Manifests {
    judged: Vec<JudgedManifest>,
    unreadable: BTreeMap<RunId, String>,
}

impl Sweep {
    pub(super) fn control(&self) -> &dyn ObjectStore {
        self.plan.control.as_ref()
    }

    pub(super) fn customer(&self) -> &CustomerId {
        &self.plan.customer
    }

    /// Everything that does not agree. It reads, and changes nothing.
    pub(super) async fn findings(&self) -> Result<RebuildFindings, StepError> {
        let mut findings = RebuildFindings::default();
        let runs = self.register.unfinished_runs().await.map_err(StepError::from)?;
        let manifests = self.manifested_runs().await?;
        let machines = self.register.all_machines().await.map_err(StepError::from)?;
        let unknown = manifests.keys().filter(|machine| !machines.contains(machine));
        findings.unknown_machines = unknown.cloned().collect();
        for machine in &machines {
            let (found, at_work) = self.findings_of(machine, &runs, manifests.get(machine)).await?;
            if !agrees(&found) {
                findings.machines.push(found);
            }
            findings.at_work.extend(at_work);
        }
        for run in runs.iter().filter(|run| run.flow == Flow::Recover) {
            if self.has_forgotten_replicas(run).await? {
                findings.kept_recoveries.push(run.run_id.clone());
            }
        }
        findings.kept_recoveries.sort();
        findings.at_work.sort();
        Ok(findings)
    }

    /// For each machine, the runs whose images have a manifest. They lie under the name of the deployment's customer,
    /// whether or not the register knows it any more.
    async fn manifested_runs(&self) -> Result<BTreeMap<MachineKey, BTreeSet<RunId>>, StepError> {
        let prefix = self.customer().manifests_prefix();
        let objects = self.control().list(&prefix).await.map_err(|error| {
            StepError::transient(format!("the manifests under {prefix} could not be listed")).because(error)
        })?;
        let mut manifests: BTreeMap<MachineKey, BTreeSet<RunId>> = BTreeMap::new();
        for (machine, run_id) in objects.iter().filter_map(|object| MachineKey::of_manifest(&object.key)) {
            manifests.entry(machine).or_default().insert(run_id);
        }
        Ok(manifests)
    }

    async fn findings_of(
        &self,
        machine: &MachineKey,
        runs: &[Run],
        manifested: Option<&BTreeSet<RunId>>,
    ) -> Result<(rekindle_domain::register_epoch::MachineFindings, Vec<RunId>), StepError> {
        let registered = self.register.images(machine).await.map_err(StepError::from)?;
        let quarantined = self.register.quarantined_images(machine).await.map_err(StepError::from)?;
        let quarantined: BTreeSet<ImageId> =
            quarantined.into_iter().filter(QuarantinedImage::is_kept).map(|image| image.image_id).collect();
        let found = self.cloud.find_by_machine(machine).await.map_err(StepError::from)?;
        let tagged: Vec<Tagged> = found.iter().filter_map(tagged).collect();
        let open: Vec<RunId> = runs
            .iter()
            .filter(|run| run.machine.as_ref() == Some(machine) && run.state == RunState::Open)
            .map(|run| run.run_id.clone())
            .collect();
        let state = self.register.machine_state(machine).await.map_err(StepError::from)?;
        let holder = state.lease.map(|lease| lease.run_id);
        let forgotten = forgotten_runs(&tagged, &registered);
        let manifests = self.judged_manifests(machine, &forgotten, manifested).await?;
        let named = open.iter().chain(&holder).chain(&forgotten);
        let runs = self.known_runs(named).await?;
        Ok(machine_findings(&MachineKnowledge {
            machine,
            registered: &registered,
            quarantined: &quarantined,
            manifests: &manifests.judged,
            unreadable: &manifests.unreadable,
            tagged: &tagged,
            open: &open,
            holder: holder.as_ref(),
            runs: &runs,
        }))
    }

    async fn known_runs<'a>(
        &self,
        named: impl Iterator<Item = &'a RunId>,
    ) -> Result<BTreeMap<RunId, RunKnowledge>, StepError> {
        let mut known = BTreeMap::new();
        for run_id in named {
            let recorded = self.register.run(run_id).await.map_err(StepError::from)?;
            let refresh = self.execution_standing(Flow::RefreshImage, run_id).await?;
            known.insert(run_id.clone(), RunKnowledge { is_recorded: recorded.is_some(), refresh });
        }
        Ok(known)
    }

    async fn judged_manifests(
        &self,
        machine: &MachineKey,
        forgotten: &BTreeSet<RunId>,
        manifested: Option<&BTreeSet<RunId>>,
    ) -> Result<Manifests, StepError> {
        let mut manifests = Manifests::default();
        let service = self.register.service(&machine.service()).await.map_err(StepError::from)?;
        let (Some(service), Some(manifested)) = (service, manifested) else { return Ok(manifests) };
        for run_id in forgotten.intersection(manifested) {
            match self.manifest(machine, run_id).await? {
                KeptManifest::Missing => {}
                KeptManifest::Unreadable(cause) => {
                    manifests.unreadable.insert(run_id.clone(), cause);
                }
                KeptManifest::Readable(manifest) => {
                    let objection = self.objection(&manifest, machine, run_id, &service.value).await?;
                    manifests.judged.push(JudgedManifest { manifest: *manifest, objection });
                }
            }
        }
        Ok(manifests)
    }

    async fn objection(
        &self,
        manifest: &ImageManifest,
        machine: &MachineKey,
        run_id: &RunId,
        service: &Service,
    ) -> Result<Option<String>, StepError> {
        let set = self.plan.signed_set(machine, &manifest.image.backup_id, service).await?;
        Ok(objection(manifest, machine, run_id, set.as_ref().map_err(String::as_str)))
    }

    pub(super) async fn manifest(
        &self,
        machine: &MachineKey,
        run_id: &RunId,
    ) -> Result<KeptManifest, StepError> {
        let key = machine
            .manifest_key(run_id)
            .map_err(|error| StepError::permanent("the manifest has no place in the store").because(error))?;
        match get_or_not_found(self.control(), &key, LONGEST_MANIFEST_BYTES).await {
            Ok(bytes) => Ok(match serde_json::from_slice(&bytes) {
                Ok(manifest) => KeptManifest::Readable(Box::new(manifest)),
                Err(error) => KeptManifest::Unreadable(error.to_string()),
            }),
            Err(StoreError::NotFound { .. }) => Ok(KeptManifest::Missing),
            Err(error @ StoreError::TooLarge { .. }) => Ok(KeptManifest::Unreadable(error.to_string())),
            Err(error) => {
                Err(StepError::transient(format!("the manifest {key} could not be read")).because(error))
            }
        }
    }

    async fn has_forgotten_replicas(&self, run: &Run) -> Result<bool, StepError> {
        if !may_have_forgotten_replicas(run) {
            return Ok(false);
        }
        let plan = match &run.plan_id {
            Some(plan_id) => self.register.plan(plan_id).await.map_err(StepError::from)?,
            None => None,
        };
        let is_rehearsal = plan.is_some_and(|plan| plan.kind == RecoveryKind::Rehearsal);
        let found = self.cloud.find_by_run(&run.run_id).await.map_err(StepError::from)?;
        Ok(has_forgotten_replicas(run, is_rehearsal, found.len()))
    }
}

/// What carries a tag that no run of this product can have is somebody else's.
fn tagged(resource: &Resource) -> Option<Tagged> {
    let (tags, kind) = match resource {
        Resource::Image(image) if image.state == ImageState::Available => {
            (&image.tags, TaggedKind::AvailableImage(image.image_id.clone()))
        }
        Resource::Image(image) => (&image.tags, TaggedKind::UnfinishedImage(image.image_id.clone())),
        Resource::Instance(instance) => (&instance.tags, TaggedKind::Instance),
        Resource::Other { .. } => return None,
    };
    let run_id = RunId::parse(tags.get(RUN_TAG)?).ok()?;
    Some(Tagged { id: resource.id().to_owned(), run_id, kind })
}

/// The runs of what is there and not registered.
fn forgotten_runs(tagged: &[Tagged], registered: &[Image]) -> BTreeSet<RunId> {
    let is_registered =
        |tagged: &&Tagged| registered.iter().any(|image| image.image_id.as_str() == tagged.id);
    tagged.iter().filter(|tagged| !is_registered(tagged)).map(|tagged| tagged.run_id.clone()).collect()
}
