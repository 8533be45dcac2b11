//! Closes a run and destroys what it made. Always, whatever happened; any number of times; from the run id alone.
//!
//! 1. The run is closed by a conditional write: from here on no intent can be written and nothing registered.
//! 2. Everything that carries the run's tag is destroyed, and everything that its intents name, because a `find` may
//!    lag. A registered image stays: it is what the run was for.
//!    So does an image that is kept apart, and every image while the register stands restored: it may have forgotten
//!    that an image is registered, and the rebuild (`POST /v1/register/rebuild`) decides about it.
//! 3. When nothing is found the answer is *Clear*, and the lease is released or handed over. The run is *Ended* only
//!    by a second empty find, no sooner than the provider's settling time after its last intent and its first empty find;
//!    and never while the register stands restored, since what was left alone then has to be looked at again.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rekindle_cloud::{CloudError, CloudProvider, InstanceState, Resource};
use rekindle_cmdb::{Register, Released};
use rekindle_domain::{ImageId, Intent, IntentKind, Outcome, QuarantinedImage, Run, RunId, RunState};
use rekindle_planning::RegisterStanding;
use rekindle_planning::ending::{held_against_the_work, outcome_of};
use rekindle_planning::retry::pause_after;
use rekindle_planning::sweep::is_settled;
use rekindle_step::{Clock, Step, StepContext, StepError, Workflow};
use serde::{Deserialize, Serialize};

use rekindle_requests::refresh::start_refresh;
use rekindle_requests::register_standing;

/// The step.
pub struct Destroy {
    /// The register.
    pub register: Register,
    /// Holds what is to be destroyed.
    pub cloud: Arc<dyn CloudProvider>,
    /// Starts the run that a lease is handed over to.
    pub workflow: Arc<dyn Workflow>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the state machine passes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Which run.
    pub run_id: RunId,
    /// The name of the error that brought the run here; empty when none did.
    #[serde(default)]
    pub error: String,
    /// One sentence: why.
    #[serde(default)]
    pub cause: String,
}

/// What the state machine gets.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Output {
    /// Whether anything was found.
    pub status: Status,
    /// What was found, for people.
    pub found: Vec<String>,
}

/// Whether anything is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    /// This look found nothing.
    Clear,
    /// Something was found and told to go; look again.
    NotYetProven,
}

#[async_trait]
impl Step for Destroy {
    const NAME: &'static str = "destroy";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let Some(run) = self.register.run(&input.run_id).await.map_err(StepError::from)? else {
            return Ok(clear()); // It never opened, so it could not make anything.
        };
        let run = self
            .register
            .close_run(&run.run_id, None, None, self.clock.now())
            .await
            .map_err(StepError::from)?;
        let run = self.note_ending(&run, &input).await?;
        let found = self.destroy_everything(&run).await?;
        if !found.is_empty() {
            self.register.note_not_empty(&run.run_id).await.map_err(StepError::from)?;
            return Ok(Output { status: Status::NotYetProven, found });
        }
        let run =
            self.register.note_empty_find(&run.run_id, self.clock.now()).await.map_err(StepError::from)?;
        self.end_when_settled(&run).await?;
        self.release_lease(&run).await?;
        Ok(clear())
    }
}

/// The images of a run that stay.
#[derive(Debug, Default)]
struct KeptImages {
    all: bool,
    ids: BTreeSet<ImageId>,
}

impl KeptImages {
    fn holds(&self, image_id: &ImageId) -> bool {
        self.all || self.ids.contains(image_id)
    }
}

fn clear() -> Output {
    Output { status: Status::Clear, found: Vec::new() }
}

impl Destroy {
    /// Only now that nothing can be registered any more is it certain how the run ended. An answer that was lost
    /// after the image was registered does not make it a failure: the image is there, and it is proven.
    async fn note_ending(&self, run: &Run, input: &Input) -> Result<Run, StepError> {
        let is_registered = self.registered_image(run).await?.is_some();
        let (outcome, cause) = match outcome_of(run.flow, &input.error, &input.cause) {
            Some(outcome) if is_registered && outcome != Outcome::LeftForSweep => (Outcome::Refreshed, None),
            Some(outcome) => (outcome, Some(input.cause.clone()).filter(|cause| !cause.is_empty())),
            None => return Ok(run.clone()),
        };
        if !is_registered {
            self.count_failure(run, input).await?;
        }
        self.register.set_outcome(&run.run_id, outcome, cause).await.map_err(StepError::from)
    }

    /// Counted before the lease is let go, so that the next run sees it.
    async fn count_failure(&self, run: &Run, input: &Input) -> Result<(), StepError> {
        let Some(error) = held_against_the_work(&input.error) else { return Ok(()) };
        let Some(plan) = self.register.refresh_plan(&run.run_id).await.map_err(StepError::from)? else {
            return Ok(());
        };
        let attempts =
            self.register.attempts(&plan.machine, &plan.attempt_key).await.map_err(StepError::from)?;
        let now = self.clock.now();
        let next_try_at =
            now.checked_add(pause_after(attempts.count.saturating_add(1))).unwrap_or(Timestamp::MAX);
        self.register
            .record_failure(
                &plan.machine,
                &plan.attempt_key,
                &run.run_id,
                error,
                &input.cause,
                now,
                next_try_at,
            )
            .await
            .map_err(StepError::from)?;
        Ok(())
    }

    /// Destroys what is found and what was intended, and says what was there.
    async fn destroy_everything(&self, run: &Run) -> Result<Vec<String>, StepError> {
        let kept = self.kept_images(run).await?;
        let mut found = Vec::new();
        for resource in self.cloud.find_by_run(&run.run_id).await.map_err(StepError::from)? {
            let is_kept = matches!(&resource, Resource::Image(image) if kept.holds(&image.image_id));
            if !is_kept {
                found.push(format!("{} {}", resource.kind(), resource.id()));
                self.destroy_resource(&resource).await.map_err(StepError::from)?;
            }
        }
        for intent in self.register.intents(&run.run_id).await.map_err(StepError::from)? {
            self.destroy_intended(&intent, &kept, &mut found).await?;
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    async fn kept_images(&self, run: &Run) -> Result<KeptImages, StepError> {
        let Some(machine) = &run.machine else { return Ok(KeptImages::default()) };
        if self.stands_restored().await? {
            return Ok(KeptImages { all: true, ..KeptImages::default() });
        }
        let quarantined = self.register.quarantined_images(machine).await.map_err(StepError::from)?;
        let mut ids: BTreeSet<ImageId> =
            quarantined.into_iter().filter(QuarantinedImage::is_kept).map(|image| image.image_id).collect();
        ids.extend(self.registered_image(run).await?);
        Ok(KeptImages { all: false, ids })
    }

    async fn stands_restored(&self) -> Result<bool, StepError> {
        let standing = register_standing::by_the_table(&self.register).await.map_err(StepError::from)?;
        Ok(matches!(standing, RegisterStanding::Restored { .. }))
    }

    async fn registered_image(&self, run: &Run) -> Result<Option<ImageId>, StepError> {
        let Some(machine) = &run.machine else { return Ok(None) };
        let image = self.register.image_of_run(machine, &run.run_id).await.map_err(StepError::from)?;
        Ok(image.map(|image| image.image_id))
    }

    async fn destroy_resource(&self, resource: &Resource) -> Result<(), CloudError> {
        match resource {
            Resource::Instance(instance) => self.cloud.terminate(&instance.instance_id).await,
            Resource::Image(image) => self.cloud.delete_image(&image.image_id).await,
            Resource::Other { kind, id } => self.cloud.delete_other(kind, id).await,
        }
    }

    /// A `find` may not show yet what an intent has named; asking by id does.
    async fn destroy_intended(
        &self,
        intent: &Intent,
        kept: &KeptImages,
        found: &mut Vec<String>,
    ) -> Result<(), StepError> {
        if let Some(instance_id) = &intent.instance_id {
            let state = self.cloud.describe_instance(instance_id).await.map(|instance| instance.state);
            if state.is_ok_and(|state| state != InstanceState::Terminated) {
                found.push(format!("instance {instance_id}"));
                self.cloud.terminate(instance_id).await.map_err(StepError::from)?;
            }
        }
        if intent.kind == IntentKind::Image {
            let image = self.cloud.find_image(&intent.name).await.map_err(StepError::from)?;
            let image_id = intent.image_id.clone().or(image.as_ref().map(|image| image.image_id.clone()));
            if let Some(image_id) = image_id.filter(|id| !kept.holds(id)) {
                if image.is_some() {
                    found.push(format!("image {image_id}"));
                }
                self.cloud.delete_image(&image_id).await.map_err(StepError::from)?;
            }
        }
        Ok(())
    }

    /// The second look. A provider whose answers are always current is settled at once. A register that stands restored
    /// ends nothing: an image that was left alone would be nobody's for ever.
    async fn end_when_settled(&self, run: &Run) -> Result<(), StepError> {
        if run.state != RunState::Closed || !self.is_settled(run) || self.stands_restored().await? {
            return Ok(());
        }
        if self.destroy_everything(run).await?.is_empty() {
            self.register.end_run(&run.run_id, self.clock.now()).await.map_err(StepError::from)?;
        } else {
            self.register.note_not_empty(&run.run_id).await.map_err(StepError::from)?;
        }
        Ok(())
    }

    /// Whether everything has had time to show: what was intended, and what lost its owner by the destruction.
    fn is_settled(&self, run: &Run) -> bool {
        is_settled(run, self.cloud.characteristics().settling_time, self.clock.now())
    }

    /// Lets go of the lease; where more was wanted meanwhile, the successor gets it and is started.
    async fn release_lease(&self, run: &Run) -> Result<(), StepError> {
        let released =
            self.register.release_lease(&run.run_id, self.clock.now()).await.map_err(StepError::from)?;
        let Released::HandedOver { successor, machine } = released else { return Ok(()) };
        start_refresh(self.workflow.as_ref(), &successor, &machine).await
    }
}
