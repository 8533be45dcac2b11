//! Seals the builder and makes an image of it.
//!
//! Two states use this function. `Seal` has the agent stop the engines, wipe keys and power off. `Ensure` looks how
//! far the image is and takes the next step: it may be called any number of times, and it never waits.

use std::sync::Arc;

use async_trait::async_trait;
use rekindle_cloud::{
    CloudErrorKind, CloudImage, CloudProvider, CreateImageRequest, ImageState, InstanceState,
};
use rekindle_cmdb::{IntentResource, Register, TaskToken};
use rekindle_domain::{
    Bytes, Digest, ImageId, InstanceId, Intent, IntentKind, JobId, JobOutcome, JobWork, RefreshPlan,
};
use rekindle_instances::{AgentJobs, Assignment};
use rekindle_planning::deadline::image_deadline;
use rekindle_step::{Clock, ErrorName, Step, StepContext, StepError};
use serde::{Deserialize, Serialize};

/// The name of the agent's job.
const SEAL: &str = "seal";

/// The step.
pub struct SnapshotImage {
    /// Knows intents and jobs.
    pub register: Register,
    /// Makes images.
    pub cloud: Arc<dyn CloudProvider>,
    /// Gives jobs.
    pub jobs: AgentJobs,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the state machine passes.
#[derive(Debug, Deserialize)]
#[serde(tag = "operation", deny_unknown_fields)]
pub enum Input {
    /// Have the agent seal.
    Seal {
        /// The work.
        plan: Box<RefreshPlan>,
        /// The builder.
        instance_id: InstanceId,
        /// By which the waiting state is answered.
        task_token: TaskToken,
    },
    /// Bring the image one step further.
    Ensure {
        /// The work.
        plan: Box<RefreshPlan>,
        /// The builder.
        instance_id: InstanceId,
    },
}

/// How far the image is.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Output {
    /// `Waiting` or `Available`.
    pub state: Progress,
    /// The image, once it is available.
    pub image_id: Option<ImageId>,
}

/// How far the image is.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub enum Progress {
    /// Look again later.
    Waiting,
    /// It can be started.
    Available,
}

impl Output {
    const WAITING: Self = Self { state: Progress::Waiting, image_id: None };
}

#[async_trait]
impl Step for SnapshotImage {
    const NAME: &'static str = "snapshot-image";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        match input {
            Input::Seal { plan, instance_id, task_token } => self.seal(&plan, instance_id, task_token).await,
            Input::Ensure { plan, instance_id } => self.ensure(&plan, instance_id).await,
        }
    }
}

impl SnapshotImage {
    async fn seal(
        &self,
        plan: &RefreshPlan,
        instance_id: InstanceId,
        task_token: TaskToken,
    ) -> Result<Output, StepError> {
        let assignment =
            Assignment { id: seal_job(plan), work: JobWork::Seal, instance_id, stored: Bytes(0), task_token };
        self.jobs.assign(assignment).await?;
        Ok(Output::WAITING)
    }

    async fn ensure(&self, plan: &RefreshPlan, instance_id: InstanceId) -> Result<Output, StepError> {
        self.refuse_unsealed(plan).await?;
        let name = image_name(plan);
        let intents = self.register.intents(&plan.run_id).await.map_err(StepError::from)?;
        let intent = intents.into_iter().find(|intent| intent.name == name);
        if let Some(image_id) = intent.as_ref().and_then(|intent| intent.image_id.clone()) {
            return self.look_at(plan, &image_id, intent.map(|intent| intent.at)).await;
        }
        if !self.is_stopped(&instance_id).await? {
            return Ok(Output::WAITING);
        }
        self.create(plan, &name, instance_id).await
    }

    /// An image of an instance that was not sealed would hold keys and an unclean database.
    async fn refuse_unsealed(&self, plan: &RefreshPlan) -> Result<(), StepError> {
        let job = self.register.job(&seal_job(plan)).await.map_err(StepError::from)?;
        match job.and_then(|job| job.outcome) {
            Some(JobOutcome::Succeeded { .. }) => Ok(()),
            _ => Err(StepError::dirty("no image was made: the agent has not sealed the instance")),
        }
    }

    async fn is_stopped(&self, instance_id: &InstanceId) -> Result<bool, StepError> {
        match self.cloud.describe_instance(instance_id).await {
            Ok(instance) => match instance.state {
                InstanceState::Stopped => Ok(true),
                InstanceState::ShuttingDown | InstanceState::Terminated => Err(StepError::dirty(format!(
                    "no image was made: the instance {instance_id} was destroyed before it was saved"
                ))),
                InstanceState::Pending | InstanceState::Running | InstanceState::Stopping => Ok(false),
            },
            Err(error) => Err(StepError::from(error)),
        }
    }

    async fn create(
        &self,
        plan: &RefreshPlan,
        name: &str,
        instance_id: InstanceId,
    ) -> Result<Output, StepError> {
        let now = self.clock.now();
        let intent = Intent {
            run_id: plan.run_id.clone(),
            name: name.to_owned(),
            kind: IntentKind::Image,
            machine: plan.machine.clone(),
            at: now,
            instance_id: None,
            image_id: None,
        };
        self.register.write_intent(&intent, Some(plan.fence)).await.map_err(StepError::from)?;
        let request = CreateImageRequest {
            name: name.to_owned(),
            run_id: plan.run_id.clone(),
            machine: plan.machine.clone(),
            instance_id,
        };
        let image = match self.cloud.create_image(&request).await {
            Ok(image) => Some(image),
            // Image creation takes no client token: the name is the guard, and an earlier try has made it.
            Err(error) if error.kind == CloudErrorKind::NameTaken => {
                self.cloud.find_image(name).await.map_err(StepError::from)?
            }
            Err(error) => return Err(StepError::from(error)),
        };
        let Some(image) = image else { return Ok(Output::WAITING) };
        let named = IntentResource::Image(image.image_id.clone());
        self.register.name_intent(&plan.run_id, name, &named).await.map_err(StepError::from)?;
        judge(&image, now, self.clock.as_ref())
    }

    async fn look_at(
        &self,
        plan: &RefreshPlan,
        image_id: &ImageId,
        asked_at: Option<jiff::Timestamp>,
    ) -> Result<Output, StepError> {
        let asked_at = asked_at.unwrap_or_else(|| self.clock.now());
        match self.cloud.describe_image(image_id).await {
            Ok(image) => judge(&image, asked_at, self.clock.as_ref()),
            Err(error) if error.kind == CloudErrorKind::NotFound => {
                tracing::info!(%image_id, machine = %plan.machine, "the image is not to be seen yet");
                give_up_after_deadline(image_id, asked_at, self.clock.as_ref())
            }
            Err(error) => Err(StepError::from(error)),
        }
    }
}

fn seal_job(plan: &RefreshPlan) -> JobId {
    JobId { run_id: plan.run_id.clone(), machine: plan.machine.clone(), step: SEAL.to_owned() }
}

/// Unique for the run and the machine, within the 128 characters of an AMI name.
pub fn image_name(plan: &RefreshPlan) -> String {
    let machine = Digest::of(plan.machine.to_string().as_bytes());
    format!("rekindle-{}-{}", plan.run_id, machine.short())
}

fn judge(image: &CloudImage, asked_at: jiff::Timestamp, clock: &dyn Clock) -> Result<Output, StepError> {
    match image.state {
        ImageState::Available => {
            Ok(Output { state: Progress::Available, image_id: Some(image.image_id.clone()) })
        }
        ImageState::Pending => give_up_after_deadline(&image.image_id, asked_at, clock),
        ImageState::Failed => {
            Err(image_failed(format!("the provider could not make the image {}", image.image_id)))
        }
    }
}

fn give_up_after_deadline(
    image_id: &ImageId,
    asked_at: jiff::Timestamp,
    clock: &dyn Clock,
) -> Result<Output, StepError> {
    if clock.now() < image_deadline(asked_at) {
        return Ok(Output::WAITING);
    }
    Err(image_failed(format!("the image {image_id} did not become available within its deadline")))
}

fn image_failed(what: String) -> StepError {
    StepError::new(ErrorName::ImageFailed, what)
        .next_step("The previous image stays current; the refresh is tried again")
}
