//! Carries out a rebuild of the register that the operator API has recorded: this function has the right to look at the
//! cloud, and that one has not.
//!
//! Everything may run twice and be cut off anywhere: what is written is written once, what was found is found again, and
//! the epoch, which ends the halt, comes last.

mod evidence;

use jiff::Timestamp;
use rekindle_domain::register_epoch::{DoubtfulImage, FoundImage, MachineFindings};
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{
    Flow, MachineKey, Outcome, QuarantinedImage, Rebuild, RebuildFindings, RebuildMode, RebuildState, Report,
    Run, RunId,
};
use rekindle_planning::RegisterStanding;
use rekindle_planning::rebuild::QUARANTINE;
use rekindle_planning::register_epoch::{lowest_fence, next_epoch};
use rekindle_requests::register_standing::{keep_witness, witness};
use rekindle_requests::reports::report_key;
use rekindle_step::StepError;
use rekindle_store::StoreError;

use crate::Sweep;

/// Longer than any report.
const LONGEST_REPORT_BYTES: u64 = 16 * 1024 * 1024;

/// Why a run was closed.
const OF_THE_PAST: &str =
    "the register was restored to an earlier time, and nobody carries this run out any more";

impl Sweep {
    /// Does the next thing about the rebuild that was asked for, if one was.
    pub(crate) async fn rebuild(&self, standing: &RegisterStanding) -> Result<Option<String>, StepError> {
        let Some(rebuild) = self.register.rebuild().await.map_err(StepError::from)? else { return Ok(None) };
        if !rebuild.is_at_work() || !self.is_of_this_table(&rebuild).await? {
            return Ok(None);
        }
        match (rebuild.state, standing) {
            // Cut off after the epoch was written.
            (RebuildState::Acting, RegisterStanding::Current(_)) => self.finish(&rebuild).await,
            (RebuildState::Acting, _) => self.go_on(&rebuild).await,
            _ => self.begin(rebuild, standing).await,
        }
    }

    /// A restored table may hold a rebuild of the past.
    async fn is_of_this_table(&self, rebuild: &Rebuild) -> Result<bool, StepError> {
        Ok(rebuild.table_id == self.register.table_id().await.map_err(StepError::from)?)
    }

    async fn begin(
        &self,
        rebuild: Rebuild,
        standing: &RegisterStanding,
    ) -> Result<Option<String>, StepError> {
        let findings = self.findings().await?;
        let digest = findings.digest().map_err(|error| {
            StepError::permanent("the findings of the rebuild cannot be written as JSON").because(error)
        })?;
        let is_confirmed = rebuild.confirmed.as_ref() == Some(&digest);
        let (state, told) = match (rebuild.mode, standing) {
            (RebuildMode::DryRun, _) => (RebuildState::Shown, "nothing was done: this is what was found"),
            (RebuildMode::Act, RegisterStanding::Current(_)) => {
                (RebuildState::Shown, "nothing was done: the register is the current one")
            }
            (RebuildMode::Act, _) if !is_confirmed => {
                (RebuildState::Changed, "nothing was done: what is there is not what was confirmed")
            }
            (RebuildMode::Act, _) => (RebuildState::Acting, "begun"),
        };
        let begun = Rebuild {
            findings: Some(findings),
            findings_digest: Some(digest),
            ..self.advanced(&rebuild, state, told.to_owned())
        };
        self.keep(&begun, &rebuild).await?;
        match state {
            RebuildState::Acting => self.go_on(&begun).await,
            _ => Ok(Some(told.to_owned())),
        }
    }

    /// What was found when it began is found again, less what is done already.
    async fn go_on(&self, rebuild: &Rebuild) -> Result<Option<String>, StepError> {
        let findings = self.findings().await?;
        if !findings.at_work.is_empty() {
            let named: Vec<&str> = findings.at_work.iter().map(RunId::as_str).collect();
            return Ok(Some(format!("waits for refreshes that are at work: {}", named.join(", "))));
        }
        let recorded = self.register.epoch().await.map_err(StepError::from)?;
        let table_id = self.register.table_id().await.map_err(StepError::from)?;
        let witness = witness(&self.register, self.control()).await?;
        let epoch = next_epoch(recorded.as_ref(), &table_id, witness, self.clock.now());
        self.act(&findings).await?;
        for machine in self.register.all_machines().await.map_err(StepError::from)? {
            let findings = findings.machines.iter().find(|findings| findings.machine == machine);
            let holder = findings.and_then(|findings| findings.release.as_ref());
            let lowest = lowest_fence(epoch.epoch);
            self.register.revoke_lease(&machine, holder, lowest).await.map_err(StepError::from)?;
        }
        if !self.register.put_epoch(&epoch, recorded.as_ref()).await.map_err(StepError::from)? {
            return Err(StepError::transient("the register's epoch was changed meanwhile"));
        }
        self.finish(rebuild).await
    }

    async fn finish(&self, rebuild: &Rebuild) -> Result<Option<String>, StepError> {
        let Some(epoch) = self.register.epoch().await.map_err(StepError::from)? else { return Ok(None) };
        keep_witness(&self.register, self.control(), epoch.progress()).await?;
        let told = format!("the register is the current one, in epoch {}", epoch.epoch);
        self.keep(&self.advanced(rebuild, RebuildState::Done, told.clone()), rebuild).await?;
        Ok(Some(told))
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
            self.adopt(machine, image).await?;
        }
        for image in &findings.quarantine {
            self.quarantine(machine, image, now).await?;
        }
        for run_id in &findings.clean_up {
            self.remember_report(machine, run_id).await?;
            let run = Run::open(run_id.clone(), Flow::RefreshImage, Some(machine.clone()), now, now);
            self.register.open_run(&run).await.map_err(StepError::from)?;
        }
        for run_id in findings.clean_up.iter().chain(&findings.close) {
            let cause = Some(OF_THE_PAST.to_owned());
            let closed = self.register.close_run(run_id, Some(Outcome::LeftForSweep), cause, now).await;
            closed.map_err(StepError::from)?;
        }
        Ok(())
    }

    /// The image with its run; before it, its report and the configuration that it was made with, since an image that is
    /// registered is not looked at again.
    async fn adopt(&self, machine: &MachineKey, found: &FoundImage) -> Result<(), StepError> {
        let Some(manifest) = self.manifest(machine, &found.run_id).await? else {
            return Err(StepError::transient(format!("the manifest of {} is gone", found.image_id)));
        };
        let image = manifest.image;
        self.remember_report(machine, &found.run_id).await?;
        if let Some(revision) = image.revision.clone() {
            let configuration = CurrentConfiguration { revision, counter: image.configuration_counter };
            let remembered = self.register.remember_configuration(&machine.service(), &configuration).await;
            remembered.map_err(StepError::from)?;
        }
        if self.register.run(&found.run_id).await.map_err(StepError::from)?.is_some() {
            let outcome = self.register.set_outcome(&found.run_id, Outcome::Refreshed, None).await;
            outcome.map_err(StepError::from)?;
        }
        self.register.adopt_image(&image, manifest.started_at).await.map_err(StepError::from)?;
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

    /// The report that was written before the restore stays the report.
    async fn remember_report(&self, machine: &MachineKey, run_id: &RunId) -> Result<(), StepError> {
        let key = report_key(machine.customer_id.as_str(), run_id, "json")?;
        let bytes = match self.control().get(&key, LONGEST_REPORT_BYTES).await {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(error) => {
                return Err(
                    StepError::transient(format!("the report {key} could not be read")).because(error)
                );
            }
        };
        // One that cannot be read is written anew, from what the register knows.
        let Ok(report) = serde_json::from_slice::<Report>(&bytes) else { return Ok(()) };
        self.register.put_report(&report).await.map_err(StepError::from)?;
        Ok(())
    }

    /// Images that nobody vouched for in time go, unless one of them is registered by now.
    pub(crate) async fn end_quarantine(&self, machine: &MachineKey) -> Result<Option<String>, StepError> {
        let now = self.clock.now();
        let mut deleted = Vec::new();
        for image in self.register.quarantined_images(machine).await.map_err(StepError::from)? {
            let registered = self.register.image(machine, &image.image_id).await.map_err(StepError::from)?;
            if !image.is_kept() || image.until > now || registered.is_some() {
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
