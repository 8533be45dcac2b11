//! Registers the new image: one transaction, conditioned on run open, fence current, not older than what is
//! registered, and a verdict that passed. The previous images stay.

use std::sync::Arc;

use async_trait::async_trait;
use rekindle_cloud::CloudProvider;
use rekindle_cmdb::Register;
use rekindle_domain::job::JobResult;
use rekindle_domain::{
    BackupId, Image, ImageId, ImageVerdict, JobId, JobOutcome, Lineage, RefreshPlan, Verdict,
};
use rekindle_step::{Clock, ErrorName, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The step.
pub struct RegisterImage {
    /// The register.
    pub register: Register,
    /// Knows the image's size.
    pub cloud: Arc<dyn CloudProvider>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the state machine passes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The work.
    pub plan: RefreshPlan,
    /// The image.
    pub image_id: ImageId,
}

/// What was registered.
#[derive(Debug, Serialize)]
pub struct Output {
    /// The image.
    pub image_id: ImageId,
}

#[async_trait]
impl Step for RegisterImage {
    const NAME: &'static str = "register";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let plan = input.plan;
        let evidence = self.evidence(&plan).await?;
        let newest = self.newest_set(&plan).await?;
        let described = self.cloud.describe_image(&input.image_id).await.map_err(StepError::from)?;
        let image = Image {
            image_id: input.image_id,
            machine: plan.machine.clone(),
            run_id: plan.run_id.clone(),
            backup_id: newest.backup_id,
            group_id: newest.group_id,
            position: plan.target,
            revision: plan.revision.clone(),
            configuration_counter: plan.configuration_counter,
            recovery_point: evidence.recovery_point.ok_or_else(unproven)?,
            verdict: ImageVerdict::DataProven,
            evidence,
            lineage: Lineage {
                parent_image_id: plan.parent_image_id.clone(),
                from_base: plan.from_base,
                applied: plan.sets.clone(),
            },
            available_at: self.clock.now(),
            size_bytes: described.size_bytes,
        };
        self.register.register_image(&image, plan.fence).await.map_err(StepError::from)?;
        Ok(Output { image_id: image.image_id })
    }
}

struct NewestSet {
    backup_id: BackupId,
    group_id: Option<BackupId>,
}

impl RegisterImage {
    /// The verdict that the agent's verification brought; only one that passed is evidence.
    async fn evidence(&self, plan: &RefreshPlan) -> Result<Verdict, StepError> {
        let id =
            JobId { run_id: plan.run_id.clone(), machine: plan.machine.clone(), step: "verify".to_owned() };
        let job = self.register.job(&id).await.map_err(StepError::from)?;
        match job.and_then(|job| job.outcome) {
            Some(JobOutcome::Succeeded { result: JobResult::Verified { verdict } }) if verdict.passed() => {
                Ok(verdict)
            }
            _ => Err(unproven()),
        }
    }

    async fn newest_set(&self, plan: &RefreshPlan) -> Result<NewestSet, StepError> {
        if let Some(backup_id) = plan.sets.last() {
            let record = self.register.set(&plan.machine, backup_id).await.map_err(StepError::from)?;
            let group_id = record.and_then(|record| record.set.group_id);
            return Ok(NewestSet { backup_id: backup_id.clone(), group_id });
        }
        let parent =
            self.register.image(&plan.machine, &plan.parent_image_id).await.map_err(StepError::from)?;
        let parent = parent.ok_or_else(|| {
            StepError::dirty(
                "the image was not registered: it restores no set, and its parent is not registered",
            )
        })?;
        Ok(NewestSet { backup_id: parent.backup_id, group_id: parent.group_id })
    }
}

fn unproven() -> StepError {
    StepError::new(
        ErrorName::VerificationFailed,
        "the image was not registered: no verification of it has passed",
    )
}
