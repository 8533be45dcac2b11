//! Recoveries: what one would do, declaring a disaster, asking for a rehearsal, and ending either.

use jiff::Timestamp;
use rekindle_cmdb::ClientClaim;
use rekindle_domain::{
    CustomerId, Flow, ImageId, Outcome, PlanId, RecoveryKind, RecoveryPlan, Run, RunId, RunState, ServiceId,
    TargetImage,
};
use rekindle_requests::recovery::{Request, plan};
use rekindle_step::{ExecutionState, StartError};
use serde::{Deserialize, Serialize};

use super::OperatorApi;
use super::client_token::{ClientToken, request_digest};
use super::code::Code;
use super::error::OperatorApiError;
use crate::plain_text::{LONGEST_CAUSE, plain};

/// The longest name of an SSH key (Amazon EC2 API reference, `CreateKeyPair`).
const LONGEST_KEY_NAME: usize = 255;

/// What is to be recovered, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryBody {
    /// Whose services.
    pub customer_id: CustomerId,
    /// Which services; empty means all of the customer.
    pub services: Vec<ServiceId>,
    /// In the caller's own words.
    pub reason: String,
    /// Recover to the newest images at or before this instant.
    #[serde(default)]
    pub at_or_before: Option<Timestamp>,
    /// Recover this image of the one service that is named, and no other.
    #[serde(default, rename = "TargetImageID")]
    pub target_image_id: Option<ImageId>,
    /// The name of the SSH key that opens the replicas of that image, in place of the service's own.
    #[serde(default, rename = "TargetImageSshKeyName")]
    pub target_image_ssh_key_name: Option<String>,
    /// By which the same request again is known. A preview needs none.
    #[serde(default)]
    pub client_token: Option<ClientToken>,
}

/// A recovery that would be, with the name under which it can be read again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// Digest of the plan.
    pub plan_id: PlanId,
    /// The plan. Nobody carries it out: a recovery makes its own.
    pub plan: RecoveryPlan,
}

/// A recovery that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Declared {
    /// The run: the name of its execution.
    pub run_id: RunId,
    /// From when recovery time is measured.
    pub declared_at: Timestamp,
}

/// What ends a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndBody {
    /// The run's id once more: replicas are destroyed, and with them whatever was written since.
    pub confirm: String,
}

/// A recovery that is being ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// The run.
    pub run_id: RunId,
    /// How far it is.
    pub state: RunState,
    /// What happens next, in one sentence.
    pub next: &'static str,
}

impl OperatorApi {
    /// The plan that a recovery would carry out if it was declared now. It is stored, so that it can be shown to
    /// others; nothing is started.
    ///
    /// # Errors
    /// As [`OperatorApi::declare`].
    pub async fn preview(
        &self,
        caller: &str,
        kind: RecoveryKind,
        body: &RecoveryBody,
    ) -> Result<Preview, OperatorApiError> {
        let request = self.request(caller, kind, body)?;
        let plan = self.planned(&request, &RunId::mint()).await?;
        let plan_id = self.register.put_plan(&plan).await?;
        Ok(Preview { plan_id, plan })
    }

    /// Declares a disaster, or asks for a rehearsal. The same request with the same client token again is the same
    /// recovery: the claim on the token is written first, and holds all that is needed to start it.
    ///
    /// # Errors
    /// When the token was used for something else, and when there is nothing to recover: then nothing is started.
    pub async fn declare(
        &self,
        caller: &str,
        kind: RecoveryKind,
        body: &RecoveryBody,
    ) -> Result<Declared, OperatorApiError> {
        let token = body.client_token.as_ref();
        let token = token.ok_or_else(|| {
            OperatorApiError::invalid(
                "client_token is missing: without it, the same request twice is two recoveries.",
            )
        })?;
        let digest = request_digest(operation(kind), body)?;
        let claim = match self.earlier_claim(caller, token, &digest).await? {
            Some(claim) => claim,
            None => {
                let request = self.request(caller, kind, body)?;
                let run_id = RunId::mint();
                self.planned(&request, &run_id).await?;
                let start =
                    serde_json::to_value(&request).map_err(|error| OperatorApiError::internal(&error))?;
                let claim = ClientClaim { request: digest, run_id, start, claimed_at: request.declared_at };
                self.claim(caller, token, &claim).await?
            }
        };
        self.start(&claim).await?;
        Ok(Declared { run_id: claim.run_id, declared_at: claim.claimed_at })
    }

    /// One that runs already, or has ended, is the same one.
    async fn start(&self, claim: &ClientClaim) -> Result<(), OperatorApiError> {
        let (machine, name) = (Flow::Recover.state_machine(), claim.run_id.as_str());
        match self.workflow.start_execution(machine, name, claim.start.clone()).await {
            Ok(()) | Err(StartError::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(OperatorApiError::workflow(&error)),
        }
    }

    fn request(
        &self,
        caller: &str,
        kind: RecoveryKind,
        body: &RecoveryBody,
    ) -> Result<Request, OperatorApiError> {
        let reason = plain(&body.reason, LONGEST_CAUSE);
        if reason.trim().is_empty() {
            return Err(OperatorApiError::invalid("reason is empty: say in a few words why."));
        }
        Ok(Request {
            kind,
            customer_id: body.customer_id.clone(),
            services: body.services.clone(),
            requested_by: caller.to_owned(),
            reason,
            declared_at: self.clock.now(),
            at_or_before: body.at_or_before,
            target: target(body)?,
        })
    }

    /// What cannot be planned is refused at the door, with a code that says why.
    async fn planned(&self, request: &Request, run_id: &RunId) -> Result<RecoveryPlan, OperatorApiError> {
        self.known_customer(&request.customer_id).await?;
        let planned = plan(&self.register, request, run_id, request.declared_at).await;
        match planned.map_err(OperatorApiError::from) {
            Err(error) if error.code == Code::TargetImageUnknown => {
                Err(self.unknown_or_anothers(error, request).await?)
            }
            planned => planned,
        }
    }

    /// The plan looks at the images of its own customer only.
    async fn unknown_or_anothers(
        &self,
        error: OperatorApiError,
        request: &Request,
    ) -> Result<OperatorApiError, OperatorApiError> {
        let Some(target) = &request.target else { return Ok(error) };
        for machine in self.register.all_machines().await? {
            if self.register.image(&machine, &target.image_id).await?.is_some() {
                let detail =
                    format!("{} is not an image of the service that is to be recovered.", target.image_id);
                return Ok(OperatorApiError::new(Code::TargetImageForeign, detail));
            }
        }
        Ok(error)
    }

    /// Ends a recovery: closes its run, so that it can start nothing more and the sweep destroys what it has started;
    /// stops what is still at work; takes back the questions that nobody needs to answer any more. Any number of
    /// times.
    ///
    /// # Errors
    /// When the confirmation is not the run's id, or the run is not a recovery.
    pub async fn end_recovery(
        &self,
        caller: &str,
        run_id: &RunId,
        body: &EndBody,
    ) -> Result<Ending, OperatorApiError> {
        let run = self.known_run(run_id).await?;
        if run.flow != Flow::Recover {
            let detail = "Only a recovery or a rehearsal is ended by a person; a refresh ends by itself.";
            return Err(OperatorApiError::new(Code::NotARecovery, detail));
        }
        if body.confirm != run_id.as_str() {
            let detail = format!("Ending destroys the replicas. Repeat the id {run_id} in confirm.");
            return Err(OperatorApiError::new(Code::NotConfirmed, detail));
        }
        let run = self.close(caller, &run).await?;
        self.take_back_questions(run_id).await?;
        Ok(Ending { run_id: run_id.clone(), state: run.state, next: what_is_next(run.state) })
    }

    /// Closed first: what is at work meanwhile can start nothing more. Then what is at work is stopped, since the sweep
    /// leaves everything alone that still is.
    async fn close(&self, caller: &str, run: &Run) -> Result<Run, OperatorApiError> {
        let (machine, name) = (run.flow.state_machine(), run.run_id.as_str());
        let standing = self.workflow.describe_execution(machine, name).await;
        let standing = standing.map_err(|error| OperatorApiError::workflow(&error))?;
        let is_at_work = standing == ExecutionState::Running;
        let cause = format!("{caller} ended it");
        // One that came to its end by itself has said how, or its report will.
        let outcome = is_at_work.then_some(Outcome::Failed);
        let said = is_at_work.then(|| format!("{cause} before it came to its end"));
        let closed = self.register.close_run(&run.run_id, outcome, said, self.clock.now()).await?;
        if is_at_work {
            let stopped = self.workflow.stop_execution(machine, name, &cause).await;
            stopped.map_err(|error| OperatorApiError::workflow(&error))?;
        }
        tracing::info!(run_id = %run.run_id, caller, "a recovery is ended");
        Ok(closed)
    }

    async fn take_back_questions(&self, run_id: &RunId) -> Result<(), OperatorApiError> {
        for task in self.register.open_human_tasks().await? {
            if task.run_id == *run_id {
                self.register.exit_human_task(&task.human_task_id).await?;
            }
        }
        Ok(())
    }
}

fn operation(kind: RecoveryKind) -> &'static str {
    match kind {
        RecoveryKind::Disaster => "POST /v1/recoveries",
        RecoveryKind::Rehearsal => "POST /v1/rehearsals",
    }
}

fn what_is_next(state: RunState) -> &'static str {
    match state {
        RunState::Ended => "Nothing of it is left.",
        _ => {
            "The next sweep destroys its replicas; the run is Ended once it was proven that nothing is left."
        }
    }
}

fn target(body: &RecoveryBody) -> Result<Option<TargetImage>, OperatorApiError> {
    let name = body.target_image_ssh_key_name.clone();
    let fits = |name: &String| {
        (1..=LONGEST_KEY_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    };
    match (&body.target_image_id, name) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(OperatorApiError::new(
            Code::TargetImageAmbiguous,
            "TargetImageSshKeyName goes with TargetImageID, which is missing.",
        )),
        (Some(_), Some(name)) if !fits(&name) => Err(OperatorApiError::invalid(format!(
            "TargetImageSshKeyName is not 1 to {LONGEST_KEY_NAME} ASCII characters."
        ))),
        (Some(image_id), ssh_key_name) => Ok(Some(TargetImage { image_id: image_id.clone(), ssh_key_name })),
    }
}
