//! Writes the report of a run, whether it went well or not: from what the register holds, so that the sweep can write
//! the one that a dead run owes.

pub mod compose;
pub mod page;

use std::io::Cursor;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rekindle_cmdb::Register;
use rekindle_domain::register_epoch::MANIFEST_SCHEMA_VERSION;
use rekindle_domain::{
    CustomerId, Digest, Flow, HumanTask, HumanTaskStatus, ImageManifest, MachineKey, Outcome, RecoveryKind,
    Report, Run, RunId,
};
use rekindle_planning::ending::outcome_of;
use rekindle_step::{Clock, Step, StepContext, StepError};
use rekindle_store::{ObjectStore, StoreError};
use serde::{Deserialize, Serialize};

use rekindle_requests::reports::report_key;

/// How long the question about a failed recovery stays open. Its replicas are kept longer: until somebody ends it.
const DECISION_DEADLINE: SignedDuration = SignedDuration::from_hours(24 * 365);

/// The step.
pub struct WriteReport {
    /// The register.
    pub register: Register,
    /// Where reports are kept beside the register.
    pub control: Arc<dyn ObjectStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the state machine passes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Which run.
    pub run_id: RunId,
    /// The name of the error that ended it; empty when none did.
    #[serde(default)]
    pub error: String,
    /// One sentence: why.
    #[serde(default)]
    pub cause: String,
    /// What was asked for. A run that failed before it could be recorded is reported from this.
    #[serde(default)]
    pub subject: Option<Subject>,
}

/// What a run was asked for, as its execution was given it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "flow", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// A refresh.
    RefreshImage {
        /// Of this machine.
        machine: MachineKey,
    },
    /// A recovery.
    Recover {
        /// Of this customer.
        customer_id: CustomerId,
    },
}

impl Subject {
    fn customer_id(&self) -> &CustomerId {
        match self {
            Self::RefreshImage { machine } => &machine.customer_id,
            Self::Recover { customer_id } => customer_id,
        }
    }
}

/// How the run ended.
#[derive(Debug, Serialize)]
pub struct Output {
    /// The ending.
    pub outcome: Outcome,
    /// Empty for good endings; otherwise the name that the execution fails with.
    pub error: String,
    /// One sentence: why, and what to do.
    pub cause: String,
}

#[async_trait]
impl Step for WriteReport {
    const NAME: &'static str = "report";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        let run = match (self.register.run(&input.run_id).await.map_err(StepError::from)?, &input.subject) {
            (Some(run), _) => run,
            (None, Some(subject)) => self.record_closed(&input, subject).await?,
            (None, None) => return Ok(unknown_run(&input)),
        };
        let report = match self.register.report(&run.run_id).await.map_err(StepError::from)? {
            Some(report) => report, // Written before: the first report stays.
            None => self.write(&run, &input).await?,
        };
        self.keep(&report).await?;
        self.keep_manifest(&run).await?;
        self.register.mark_reported(&run.run_id).await.map_err(StepError::from)?;
        Ok(output(&report, &input.error))
    }
}

impl WriteReport {
    /// A run whose first step never came to record it: it is recorded as closed, so that it is
    /// reported as every other one, and nothing can begin under its name later.
    async fn record_closed(&self, input: &Input, subject: &Subject) -> Result<Run, StepError> {
        let now = self.clock.now();
        let (flow, machine) = match subject {
            Subject::RefreshImage { machine } => (Flow::RefreshImage, Some(machine.clone())),
            Subject::Recover { .. } => (Flow::Recover, None),
        };
        let run = Run::open(input.run_id.clone(), flow, machine, now, now);
        let outcome = outcome_of(flow, &input.error, &input.cause).unwrap_or(Outcome::Failed);
        let run = self.register.open_run(&run).await.map_err(StepError::from)?;
        let cause = Some(input.cause.clone()).filter(|cause| !cause.is_empty());
        // The sweep ends it, as every run that is closed: perhaps its first step comes late, between these writes.
        self.register.close_run(&run.run_id, Some(outcome), cause, now).await.map_err(StepError::from)
    }

    async fn write(&self, run: &Run, input: &Input) -> Result<Report, StepError> {
        let facts = compose::collect(&self.register, run).await?;
        let outcome = run
            .outcome
            .or_else(|| outcome_of(run.flow, &input.error, &input.cause))
            .unwrap_or_else(|| compose::recovery_outcome(&facts));
        // What went wrong on the way of a good ending stands with its step.
        let cause = if outcome == Outcome::Refreshed { "" } else { input.cause.as_str() };
        let mut report = compose::report(run, &facts, outcome, cause, self.clock.now());
        if report.customer_id.is_none() {
            report.customer_id = input.subject.as_ref().map(|subject| subject.customer_id().clone());
        }
        self.register
            .set_outcome(&run.run_id, outcome, Some(report.cause.clone()))
            .await
            .map_err(StepError::from)?;
        self.register.put_report(&report).await.map_err(StepError::from)?;
        self.remember_start(&report).await?;
        self.ask_about_failed_recovery(&report).await?;
        Ok(report)
    }

    /// A declared disaster keeps what it started; when not everything serves, a person has to say what becomes of it.
    async fn ask_about_failed_recovery(&self, report: &Report) -> Result<(), StepError> {
        let Some(recovery) = &report.recovery else { return Ok(()) };
        let is_open = recovery.kind == RecoveryKind::Disaster
            && matches!(report.outcome, Outcome::PartiallyRecovered | Outcome::Failed);
        if !is_open {
            return Ok(());
        }
        let now = self.clock.now();
        let task = HumanTask {
            human_task_id: Digest::of(format!("what becomes of recovery {}", report.run_id).as_bytes()),
            run_id: report.run_id.clone(),
            question: format!("The recovery ended as {}: {}. May it be ended?", report.outcome, report.cause),
            subject: recovery.plan_id.clone(),
            requested_by: "rekindle".to_owned(),
            status: HumanTaskStatus::Ready,
            created_at: now,
            deadline: now.checked_add(DECISION_DEADLINE).unwrap_or(Timestamp::MAX),
            decision: None,
        };
        self.register.ask(&task, None).await.map_err(StepError::from)?;
        Ok(())
    }

    /// What the services took to serve is what the next plan predicts.
    async fn remember_start(&self, report: &Report) -> Result<(), StepError> {
        let services = report.recovery.iter().flat_map(|recovery| &recovery.services);
        for service in services {
            if let Some(recovery_time) = service.recovery_time {
                self.register
                    .put_measured_start(&service.service, recovery_time, report.finished_at)
                    .await
                    .map_err(StepError::from)?;
            }
        }
        Ok(())
    }

    /// What a register that has forgotten the image needs to take it back lies beside the report. Written once.
    async fn keep_manifest(&self, run: &Run) -> Result<(), StepError> {
        let Some(machine) = &run.machine else { return Ok(()) };
        let image = self.register.image_of_run(machine, &run.run_id).await.map_err(StepError::from)?;
        let Some(image) = image else { return Ok(()) };
        let manifest =
            ImageManifest { schema_version: MANIFEST_SCHEMA_VERSION, image, started_at: run.opened_at };
        let bytes = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| StepError::permanent("the manifest cannot be written as JSON").because(error))?;
        let key = machine
            .manifest_key(&run.run_id)
            .map_err(|error| StepError::permanent("the manifest has no place in the store").because(error))?;
        match self.control.put_new(&key, Box::pin(Cursor::new(bytes))).await {
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => {
                Err(StepError::transient(format!("the manifest {key} could not be stored")).because(error))
            }
        }
    }

    /// The report and its page lie in the control bucket too, for the customer and for an auditor.
    async fn keep(&self, report: &Report) -> Result<(), StepError> {
        let Some(customer_id) = &report.customer_id else { return Ok(()) };
        let json = serde_json::to_vec_pretty(report)
            .map_err(|error| StepError::permanent("the report cannot be written as JSON").because(error))?;
        let page = page::render(report);
        for (ending, bytes) in [("json", json), ("html", page.into_bytes())] {
            let key = report_key(customer_id.as_str(), &report.run_id, ending)?;
            self.control.put(&key, Box::pin(Cursor::new(bytes))).await.map_err(|error| {
                StepError::transient(format!("the report {key} could not be stored")).because(error)
            })?;
        }
        Ok(())
    }
}

/// A run that never opened has made nothing and is known to nobody: its execution's own ending says all there is.
fn unknown_run(input: &Input) -> Output {
    let outcome = outcome_of(Flow::RefreshImage, &input.error, &input.cause).unwrap_or(Outcome::Failed);
    Output { outcome, error: input.error.clone(), cause: input.cause.clone() }
}

fn output(report: &Report, error: &str) -> Output {
    let outcome = report.outcome;
    let error = match (outcome.is_success(), error) {
        (true, _) => String::new(),
        (false, "") => outcome.name().to_owned(),
        (false, error) => error.to_owned(),
    };
    Output { outcome, error, cause: report.cause.clone() }
}
