//! Carries out a rebuild of the register that the operator API has recorded: this function has the right to look at the
//! cloud, and that one has not.
//!
//! What is done is what was found when it began, and a person has confirmed just that: it is looked at once. Everything
//! may run twice and be cut off anywhere: what is written is written once, and the epoch, which ends the halt, comes last.

mod evidence;

use jiff::Timestamp;
use rekindle_cmdb::RegisterError;
use rekindle_domain::register_epoch::{DoubtfulImage, FoundImage, MachineFindings};
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{
    Fence, Flow, MachineKey, Outcome, QuarantinedImage, Rebuild, RebuildFindings, RebuildState,
    RegisterEpoch, Report, Run, RunId,
};
use rekindle_planning::rebuild::{Beginning, QUARANTINE, beginning};
use rekindle_planning::register_epoch::{lowest_fence, next_epoch};
use rekindle_planning::{RegisterStanding, standing};
use rekindle_requests::register_standing::{KnownStanding, keep_witness, witness};
use rekindle_requests::reports::{LONGEST_REPORT_BYTES, report_key};
use rekindle_step::StepError;
use rekindle_store::{StoreError, get_or_not_found};

use self::evidence::KeptManifest;
use crate::Sweep;

/// Why a run was closed.
const OF_THE_PAST: &str =
    "the register was restored to an earlier time, and nobody carries this run out any more";

/// What a sweep did about the rebuild.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// One sentence, when it did something.
    pub(crate) told: Option<String>,
    /// Whether the register is the current one by this.
    pub(crate) ended_the_halt: bool,
}

fn told(sentence: impl Into<String>) -> Progress {
    Progress { told: Some(sentence.into()), ended_the_halt: false }
}

impl Sweep {
    /// Does the next thing about the rebuild that was asked for, if one was. Whoever asked reads why it does not get on.
    pub(crate) async fn rebuild(
        &self,
        rebuild: Option<&Rebuild>,
        standing: &KnownStanding,
    ) -> Result<Progress, StepError> {
        let Some(rebuild) = rebuild.filter(|rebuild| rebuild.is_at_work()) else {
            return Ok(Progress::default());
        };
        let done = match rebuild.state {
            RebuildState::Acting => self.go_on(rebuild).await,
            _ => self.begin(rebuild, standing).await,
        };
        if let Err(error) = &done {
            self.note_failure(rebuild, error).await;
        }
        done
    }

    /// What keeps it from getting on is told by the sweep whether or not it can be noted.
    async fn note_failure(&self, rebuild: &Rebuild, error: &StepError) {
        // It may have begun in this very sweep.
        let stored = match self.register.rebuild().await {
            Ok(stored) => stored.filter(|stored| stored.rebuild_id == rebuild.rebuild_id),
            Err(_) => None,
        };
        let Some(stored) = stored.filter(Rebuild::is_at_work) else { return };
        let note = format!("the next sweep tries again: {}", error.chain());
        if let Err(error) = self.note(&stored, note).await {
            tracing::warn!(error = error.chain(), "why the rebuild does not get on could not be noted");
        }
    }

    /// Lets the rebuild say this from now on. It does not come to another state by this, and `at` stays.
    async fn note(&self, rebuild: &Rebuild, note: String) -> Result<(), StepError> {
        if rebuild.note == note {
            return Ok(());
        }
        self.keep(&Rebuild { note, ..rebuild.clone() }, rebuild).await
    }

    async fn begin(&self, rebuild: &Rebuild, standing: &KnownStanding) -> Result<Progress, StepError> {
        let findings = self.findings().await?;
        let digest = findings.digest().map_err(|error| {
            StepError::permanent("the findings of the rebuild cannot be written as JSON").because(error)
        })?;
        let is_current = matches!(standing, KnownStanding::Current(_));
        let Beginning { state, note } = beginning(rebuild, is_current, &findings, &digest);
        if state == RebuildState::Requested {
            self.note(rebuild, note.clone()).await?;
            return Ok(told(note));
        }
        let begun = Rebuild {
            findings: Some(findings),
            findings_digest: Some(digest),
            ..self.advanced(rebuild, state, note.clone())
        };
        self.keep(&begun, rebuild).await?;
        match state {
            RebuildState::Acting => self.go_on(&begun).await,
            _ => Ok(told(note)),
        }
    }

    /// Does what was found when it began. Nothing new can appear since: refreshes are refused.
    async fn go_on(&self, rebuild: &Rebuild) -> Result<Progress, StepError> {
        let findings = rebuild.findings.clone().unwrap_or_default();
        // Before anything is done: an epoch that somebody writes meanwhile must not be written over.
        let witness = witness(self.control(), self.customer()).await?;
        let table_id = self.register.table_id().await.map_err(StepError::from)?;
        let recorded = self.register.epoch().await.map_err(StepError::from)?;
        if let RegisterStanding::Current(epoch) = standing(recorded.as_ref(), &table_id, witness) {
            // Cut off after the epoch was written, or another sweep was faster.
            return self.finish(rebuild, &epoch).await;
        }
        let epoch = next_epoch(recorded.as_ref(), &table_id, witness, self.clock.now());
        self.act(&findings).await?;
        if let Some((machine, holder)) = self.take_leases_away(&findings, lowest_fence(epoch.epoch)).await? {
            return self.break_off(rebuild, &machine, &holder).await;
        }
        if !self.register.put_epoch(&epoch, recorded.as_ref()).await.map_err(StepError::from)? {
            return Err(StepError::transient("the register's epoch was changed meanwhile"));
        }
        self.finish(rebuild, &epoch).await
    }

    /// Takes away the leases that were held by mistake, and lets all fences go on from the lowest. Answers with the first
    /// machine whose lease somebody else has by now, and who that is.
    async fn take_leases_away(
        &self,
        findings: &RebuildFindings,
        lowest: Fence,
    ) -> Result<Option<(MachineKey, RunId)>, StepError> {
        for machine in self.register.all_machines().await.map_err(StepError::from)? {
            let found = findings.machines.iter().find(|found| found.machine == machine);
            let holder = found.and_then(|found| found.release.as_ref());
            match self.register.revoke_lease(&machine, holder, lowest).await {
                Err(RegisterError::LeaseHeld { lease }) => return Ok(Some((machine, lease.run_id))),
                revoked => revoked.map_err(StepError::from)?,
            }
        }
        Ok(None)
    }

    /// Whoever took a lease since was not in what was confirmed. What was done by then stays right, and is found again.
    async fn break_off(
        &self,
        rebuild: &Rebuild,
        machine: &MachineKey,
        holder: &RunId,
    ) -> Result<Progress, StepError> {
        let note = format!(
            "broken off: {holder} took the lease of {machine} after it was looked at. Look again, and confirm that"
        );
        self.keep(&self.advanced(rebuild, RebuildState::Changed, note.clone()), rebuild).await?;
        Ok(told(note))
    }

    async fn finish(&self, rebuild: &Rebuild, epoch: &RegisterEpoch) -> Result<Progress, StepError> {
        keep_witness(self.control(), self.customer(), epoch.progress()).await?;
        let note = format!("the register is the current one, in epoch {}", epoch.epoch);
        self.keep(&self.advanced(rebuild, RebuildState::Done, note.clone()), rebuild).await?;
        Ok(Progress { told: Some(note), ended_the_halt: true })
    }

    fn advanced(&self, rebuild: &Rebuild, state: RebuildState, note: String) -> Rebuild {
        Rebuild { state, note, at: self.clock.now(), ..rebuild.clone() }
    }

    async fn keep(&self, rebuild: &Rebuild, replaces: &Rebuild) -> Result<(), StepError> {
        if self.register.put_rebuild(rebuild, Some(replaces)).await.map_err(StepError::from)? {
            return Ok(());
        }
        Err(StepError::transient("another sweep is at work with the rebuild"))
    }

    async fn act(&self, findings: &RebuildFindings) -> Result<(), StepError> {
        let now = self.clock.now();
        self.remember_reports().await?;
        for run_id in &findings.kept_recoveries {
            self.register.remember_intent(run_id, now).await.map_err(StepError::from)?;
        }
        for machine in &findings.machines {
            self.act_on(machine, now).await?;
        }
        Ok(())
    }

    /// Images first: once their runs are closed, an image that nobody knows of is what they left.
    async fn act_on(&self, findings: &MachineFindings, now: Timestamp) -> Result<(), StepError> {
        let machine = &findings.machine;
        for image in &findings.adopt {
            self.adopt(machine, image, now).await?;
        }
        for image in &findings.quarantine {
            self.quarantine(machine, image, now).await?;
        }
        for run_id in &findings.clean_up {
            let run = Run::open(run_id.clone(), Flow::RefreshImage, Some(machine.clone()), now, now);
            self.register.open_run(&run).await.map_err(StepError::from)?;
        }
        for run_id in findings.clean_up.iter().chain(&findings.close) {
            let (outcome, cause) = match self.remembered_report(run_id).await? {
                Some(report) => (report.outcome, report.cause),
                None => (Outcome::LeftForSweep, OF_THE_PAST.to_owned()),
            };
            let closed = self.register.close_run(run_id, Some(outcome), Some(cause), now).await;
            closed.map_err(StepError::from)?;
        }
        Ok(())
    }

    /// Runs that the register believes unreported may have been reported in the life that it has forgotten.
    async fn remember_reports(&self) -> Result<(), StepError> {
        for run in self.register.unfinished_runs().await.map_err(StepError::from)? {
            if run.reported {
                continue;
            }
            if let Some(report) = self.remembered_report(&run.run_id).await? {
                let ended = self.register.set_outcome(&run.run_id, report.outcome, Some(report.cause)).await;
                ended.map_err(StepError::from)?;
            }
        }
        Ok(())
    }

    /// The image with its run; before it, its report and the configuration that it was made with, since an image that is
    /// registered is not looked at again.
    async fn adopt(&self, machine: &MachineKey, found: &FoundImage, now: Timestamp) -> Result<(), StepError> {
        let manifest = match self.manifest(machine, &found.run_id).await? {
            KeptManifest::Readable(manifest) if manifest.image.image_id == found.image_id => manifest,
            _ => {
                let cause = "its manifest is not the one any more that was looked at".to_owned();
                let (image_id, run_id) = (found.image_id.clone(), found.run_id.clone());
                return self.quarantine(machine, &DoubtfulImage { image_id, run_id, cause }, now).await;
            }
        };
        let image = manifest.image;
        let reported = self.remembered_report(&found.run_id).await?.is_some();
        if let Some(revision) = image.revision.clone() {
            let configuration = CurrentConfiguration { revision, counter: image.configuration_counter };
            let remembered = self.register.remember_configuration(&machine.service(), &configuration).await;
            remembered.map_err(StepError::from)?;
        }
        if self.register.run(&found.run_id).await.map_err(StepError::from)?.is_some() {
            let outcome = self.register.set_outcome(&found.run_id, Outcome::Refreshed, None).await;
            outcome.map_err(StepError::from)?;
        }
        let adopted = self.register.adopt_image(&image, manifest.started_at, reported).await;
        adopted.map_err(StepError::from)?;
        tracing::info!(%machine, image_id = %found.image_id, "the register has taken an image back");
        Ok(())
    }

    async fn quarantine(
        &self,
        machine: &MachineKey,
        found: &DoubtfulImage,
        now: Timestamp,
    ) -> Result<(), StepError> {
        let image = QuarantinedImage {
            machine: machine.clone(),
            image_id: found.image_id.clone(),
            run_id: found.run_id.clone(),
            cause: found.cause.clone(),
            found_at: now,
            until: now.checked_add(QUARANTINE).unwrap_or(Timestamp::MAX),
            deleted_at: None,
        };
        self.register.quarantine_image(&image).await.map_err(StepError::from)?;
        tracing::warn!(%machine, image_id = %image.image_id, cause = image.cause, "an image is kept apart");
        Ok(())
    }

    /// The report that was written before the restore stays the report. Where there is none that can be read, the run
    /// owes it, and the sweep writes it anew from what the register knows.
    async fn remembered_report(&self, run_id: &RunId) -> Result<Option<Report>, StepError> {
        let key = report_key(self.customer().as_str(), run_id, "json")?;
        let read = match get_or_not_found(self.control(), &key, LONGEST_REPORT_BYTES).await {
            Ok(bytes) => serde_json::from_slice::<Report>(&bytes).map_err(|error| error.to_string()),
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error @ StoreError::TooLarge { .. }) => Err(error.to_string()),
            Err(error) => {
                return Err(
                    StepError::transient(format!("the report {key} could not be read")).because(error)
                );
            }
        };
        match read {
            Ok(report) => {
                self.register.put_report(&report).await.map_err(StepError::from)?;
                Ok(Some(report))
            }
            Err(cause) => {
                tracing::warn!(%key, cause, "a report cannot be read and is written anew");
                Ok(None)
            }
        }
    }

    /// Images that nobody vouched for in time go, unless one of them is registered by now.
    pub(crate) async fn end_quarantine(&self, machine: &MachineKey) -> Result<Option<String>, StepError> {
        let now = self.clock.now();
        let mut deleted = Vec::new();
        for image in self.register.quarantined_images(machine).await.map_err(StepError::from)? {
            if !image.is_kept() || image.until > now {
                continue;
            }
            let registered = self.register.image(machine, &image.image_id).await.map_err(StepError::from)?;
            if registered.is_some() {
                continue;
            }
            self.cloud.delete_image(&image.image_id).await.map_err(StepError::from)?;
            let noted = self.register.note_quarantined_image_deleted(machine, &image.image_id, now).await;
            noted.map_err(StepError::from)?;
            deleted.push(image.image_id.to_string());
        }
        Ok((!deleted.is_empty())
            .then(|| format!("deleted what nobody vouched for in time: {}", deleted.join(", "))))
    }
}
