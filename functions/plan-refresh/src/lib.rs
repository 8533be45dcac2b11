//! Decides what a refresh has to do.
//!
//! First it says that work is wanted, *then* it tries to take the machine's lease: a run that finds the lease held can
//! end at once, because the holder will see at its release that more was wanted. The event that woke the run is not
//! looked at; what counts is what lies in the store and what the register holds.

mod arrival;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rekindle_cmdb::{Lease, Register, RegisterError, SetStatus};
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{
    BackupId, BackupSet, CustomerId, Digest, Flow, HumanTask, HumanTaskId, HumanTaskStatus, Image, Machine,
    MachineKey, Outcome, RefreshPlan, Run, RunId, RunState, Service,
};
use rekindle_planning::deadline::run_deadline;
use rekindle_planning::refresh::Found;
use rekindle_planning::{Admission, KnownSet, MachineSituation, PastFailures, Work, admit, find_work};
use rekindle_requests::register_standing::{self, KnownStanding};
use rekindle_step::{Clock, ErrorName, ExecutionState, Step, StepContext, StepError, Workflow};
use rekindle_store::ObjectStore;
use serde::{Deserialize, Serialize};

/// How long a person has to decide about a new incarnation; until then the old images stay current.
const INCARNATION_DEADLINE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 365);

/// The step.
pub struct PlanRefresh {
    /// The register.
    pub register: Register,
    /// The control bucket.
    pub control: Arc<dyn ObjectStore>,
    /// The deployment's customer, under whose name the bucket remembers how far the register had come.
    pub customer: CustomerId,
    /// Knows whether the holder of a lease is still at work.
    pub workflow: Arc<dyn Workflow>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long the flow waits between two looks at the provider.
    pub poll_seconds: u64,
}

/// What the state machine passes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The run: the name of its execution.
    pub run_id: RunId,
    /// Whose image.
    pub machine: MachineKey,
}

/// What the state machine gets.
#[derive(Debug, Serialize)]
pub struct Output {
    /// `Refresh` or `Stop`.
    pub decision: Decision,
    /// The work, when there is some.
    pub plan: Option<Box<RefreshPlan>>,
    /// Empty for work and for the good endings; otherwise the name that the run ends under.
    pub error: String,
    /// One sentence: why there is no work, and what happens next.
    pub cause: String,
    /// How long to wait between two looks at the provider.
    pub poll_seconds: u64,
}

/// Whether there is work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Decision {
    /// There is, and this run holds the lease for it.
    Refresh,
    /// There is none for this run.
    Stop,
}

enum Planned {
    Refresh(Box<RefreshPlan>),
    Stop { outcome: Outcome, error: Option<String>, cause: String },
}

fn stop(outcome: Outcome, cause: impl Into<String>) -> Planned {
    Planned::Stop { outcome, error: None, cause: cause.into() }
}

#[async_trait]
impl Step for PlanRefresh {
    const NAME: &'static str = "plan-refresh";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _context: &StepContext) -> Result<Output, StepError> {
        self.refuse_restored(&input).await?;
        let (service, machine) = match self.known_machine(&input.machine).await {
            Ok(known) => known,
            Err(error) => {
                self.open_without_lease(&input).await?;
                return Err(error);
            }
        };
        let planned = match self.take_lease(&input).await? {
            Some(run) => self.plan(&run, &input.machine, &service, &machine).await?,
            None => {
                self.open_without_lease(&input).await?;
                stop(
                    Outcome::Coalesced,
                    "another run of this machine is at work; it sees to what arrived before it lets go of the lease",
                )
            }
        };
        Ok(self.output(planned))
    }
}

impl PlanRefresh {
    /// Leases, fences and newest images of a restored register are of the past: a refresh would build what is built
    /// already, under a right that another run may have. It is refused, and comes by itself once the register is
    /// rebuilt, since the sweep looks for what is due.
    async fn refuse_restored(&self, input: &Input) -> Result<(), StepError> {
        let KnownStanding::Restored { sentence } = self.register_standing().await? else { return Ok(()) };
        self.open_without_lease(input).await?;
        Err(register_standing::refusal("nothing was refreshed", &sentence))
    }

    /// How the register stands, from all that there is.
    ///
    /// # Errors
    /// When the register or the control bucket cannot be reached.
    pub async fn register_standing(&self) -> Result<KnownStanding, StepError> {
        let (control, now) = (self.control.as_ref(), self.clock.now());
        register_standing::by_table_and_bucket(&self.register, control, &self.customer, now).await
    }

    async fn known_machine(&self, key: &MachineKey) -> Result<(Service, Machine), StepError> {
        let service = self.register.service(&key.service()).await.map_err(StepError::from)?;
        let found = service.map(|service| service.value).and_then(|service| {
            let machine =
                service.machines.iter().find(|machine| machine.machine_id == key.machine_id).cloned();
            machine.map(|machine| (service, machine))
        });
        found.ok_or_else(|| {
            StepError::new(
                ErrorName::UnknownService,
                format!("a backup of {key} arrived, and the register knows no such machine"),
            )
            .next_step("Add the service with this machine, or remove the backup's prefix from the store")
        })
    }

    /// A run that does nothing is recorded too: every refresh ends in a report.
    async fn open_without_lease(&self, input: &Input) -> Result<(), StepError> {
        self.register.open_run(&new_run(input, self.clock.now())).await.map_err(StepError::from)?;
        Ok(())
    }

    /// The run as it holds the lease; nothing when another run does.
    async fn take_lease(&self, input: &Input) -> Result<Option<Run>, StepError> {
        let known = self.register.run(&input.run_id).await.map_err(StepError::from)?;
        if known.as_ref().is_some_and(|run| run.fence.is_none()) {
            return Ok(None); // Entered again: it was Coalesced then, and stays it.
        }
        if known.is_none() {
            // A retry must not want twice: the release would start a successor for nothing.
            self.register.announce_work(&input.machine).await.map_err(StepError::from)?;
        }
        let run = new_run(input, self.clock.now());
        match self.register.take_lease(&run, None).await {
            Ok(taken) => Ok(Some(taken.run)),
            Err(RegisterError::LeaseHeld { lease }) => self.take_over(&run, &lease).await,
            Err(error) => Err(StepError::from(error)),
        }
    }

    /// A lease is taken over only when its holder's execution is terminal and its run is closed, never by the clock.
    async fn take_over(&self, run: &Run, stale: &Lease) -> Result<Option<Run>, StepError> {
        let holder = self.register.run(&stale.run_id).await.map_err(StepError::from)?;
        let is_closed = holder.is_none_or(|holder| holder.state != RunState::Open);
        if !is_closed {
            return Ok(None);
        }
        let standing = self
            .workflow
            .describe_execution(Flow::RefreshImage.state_machine(), stale.run_id.as_str())
            .await
            .map_err(|error| {
                StepError::transient("the holder of the lease could not be looked at").because(error)
            })?;
        if standing == ExecutionState::Running {
            return Ok(None);
        }
        match self.register.take_lease(run, Some(stale)).await {
            Ok(taken) => Ok(Some(taken.run)),
            Err(RegisterError::LeaseHeld { .. }) => Ok(None),
            Err(error) => Err(StepError::from(error)),
        }
    }

    async fn plan(
        &self,
        run: &Run,
        key: &MachineKey,
        service: &Service,
        machine: &Machine,
    ) -> Result<Planned, StepError> {
        if run.state != RunState::Open {
            return Err(StepError::new(ErrorName::RunClosed, "nothing was planned: the run is closed"));
        }
        if let Some(plan) = self.register.refresh_plan(&run.run_id).await.map_err(StepError::from)? {
            return Ok(Planned::Refresh(Box::new(plan))); // Entered again: the plan does not change.
        }
        self.arrivals().record(key, service).await?;
        match self.due(key, service, machine).await? {
            Found::Work(work) => self.begin(run, key, service, machine, *work).await,
            Found::AskAboutIncarnation(incarnation) => {
                self.ask_about_incarnation(run, key, incarnation).await
            }
            Found::Unusable(cause) => Ok(Planned::Stop {
                outcome: Outcome::Refused,
                error: Some(ErrorName::SetOutOfOrder.as_str().to_owned()),
                cause,
            }),
            Found::NoBaseImage(cause) => Ok(Planned::Stop {
                outcome: Outcome::Refused,
                error: Some(ErrorName::Permanent.as_str().to_owned()),
                cause,
            }),
            Found::Nothing(cause) => self.nothing_to_do(key, cause).await,
        }
    }

    /// Whether a refresh of the machine would find work now, and why. For the sweep: nothing is taken and nothing is
    /// written but arrivals.
    ///
    /// # Errors
    /// When register or store cannot be read.
    pub async fn due_now(&self, key: &MachineKey) -> Result<Option<String>, StepError> {
        let (service, machine) = self.known_machine(key).await?;
        self.arrivals().record(key, &service).await?;
        let Found::Work(work) = self.due(key, &service, &machine).await? else { return Ok(None) };
        let builders = self.register.count_builders(&service.key).await.map_err(StepError::from)?;
        Ok(match self.admission(key, &service, &work, builders).await? {
            Admission::Admitted => {
                Some(format!("{} backup sets wait up to {}", work.sets.len(), work.target))
            }
            Admission::Refused { .. } => None,
        })
    }

    /// The description of a set as the customer has signed it, or one sentence why it is not to be believed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn signed_set(
        &self,
        key: &MachineKey,
        backup_id: &BackupId,
        service: &Service,
    ) -> Result<Result<BackupSet, String>, StepError> {
        self.arrivals().read_signed(key, backup_id, service).await
    }

    fn arrivals(&self) -> arrival::Arrivals<'_> {
        arrival::Arrivals {
            register: &self.register,
            control: self.control.as_ref(),
            clock: self.clock.as_ref(),
        }
    }

    async fn admission(
        &self,
        key: &MachineKey,
        service: &Service,
        work: &Work,
        running_builders: u32,
    ) -> Result<Admission, StepError> {
        let attempts = self.register.attempts(key, &work.attempt_key).await.map_err(StepError::from)?;
        let past = PastFailures {
            count: attempts.count,
            next_try_at: attempts.next_try_at,
            cause: attempts.cause.unwrap_or_default(),
        };
        let released = self.is_released(key, &work.attempt_key, past.count).await?;
        // A person has looked at it: it is tried once more, and asked about again when that fails too.
        let past = if released { PastFailures::default() } else { past };
        Ok(admit(&past, running_builders, service.concurrent_builders, self.clock.now()))
    }

    /// Whether a person has let work that was set aside be tried again since it failed for the last time.
    async fn is_released(
        &self,
        key: &MachineKey,
        attempt_key: &Digest,
        failures: u32,
    ) -> Result<bool, StepError> {
        let task = quarantine_task(key, attempt_key, failures);
        let asked = self.register.human_task(&task).await.map_err(StepError::from)?;
        Ok(asked.and_then(|task| task.decision).is_some_and(|decision| decision.approved))
    }

    async fn due(&self, key: &MachineKey, service: &Service, machine: &Machine) -> Result<Found, StepError> {
        let records = self.register.sets(key).await.map_err(StepError::from)?;
        let image = self.register.latest_image(key).await.map_err(StepError::from)?;
        Ok(find_work(&MachineSituation {
            sets: records
                .iter()
                .map(|record| KnownSet { set: &record.set, usable: record.status == SetStatus::Accepted })
                .collect(),
            newest_image: image.as_ref(),
            base_image: machine.base_image.as_ref(),
            configuration: service.configuration.as_ref(),
            approved_incarnation: self.approved_incarnation(key, image.as_ref()).await?,
        }))
    }

    /// The incarnation inside the newest image, or the next one once a person has approved it.
    async fn approved_incarnation(
        &self,
        key: &MachineKey,
        image: Option<&Image>,
    ) -> Result<Option<u64>, StepError> {
        let Some(image) = image else { return Ok(None) };
        let mut approved = image.position.incarnation;
        loop {
            let next = approved.saturating_add(1);
            let task =
                self.register.human_task(&incarnation_task(key, next)).await.map_err(StepError::from)?;
            let said_yes = task.and_then(|task| task.decision).is_some_and(|decision| decision.approved);
            if !said_yes || next == u64::MAX {
                return Ok(Some(approved));
            }
            approved = next;
        }
    }

    async fn begin(
        &self,
        run: &Run,
        key: &MachineKey,
        service: &Service,
        machine: &Machine,
        work: Work,
    ) -> Result<Planned, StepError> {
        // This run holds the lease already, so it counts itself.
        let builders =
            self.register.count_builders(&service.key).await.map_err(StepError::from)?.saturating_sub(1);
        match self.admission(key, service, &work, builders).await? {
            Admission::Admitted => {
                let plan = refresh_plan(run, key, machine, work)?;
                self.register.put_refresh_plan(&plan).await.map_err(StepError::from)?;
                Ok(Planned::Refresh(Box::new(plan)))
            }
            Admission::Refused { outcome, cause } => {
                if outcome == Outcome::Quarantined {
                    let attempts =
                        self.register.attempts(key, &work.attempt_key).await.map_err(StepError::from)?;
                    let task = quarantine_task(key, &work.attempt_key, attempts.count);
                    self.ask(run, task, format!("May this be tried again for {key}? {cause}")).await?;
                }
                Ok(stop(outcome, cause))
            }
        }
    }

    async fn ask_about_incarnation(
        &self,
        run: &Run,
        key: &MachineKey,
        incarnation: u64,
    ) -> Result<Planned, StepError> {
        let question = format!(
            "The backups of {key} begin a new history (incarnation {incarnation}): its primary was restored or replaced. \
             May images follow the new history?"
        );
        self.ask(run, incarnation_task(key, incarnation), question.clone()).await?;
        Ok(stop(
            Outcome::Quarantined,
            format!("{question} Until a person approves, the previous image stays current"),
        ))
    }

    async fn ask(&self, run: &Run, id: HumanTaskId, question: String) -> Result<(), StepError> {
        let now = self.clock.now();
        let task = HumanTask {
            human_task_id: id,
            run_id: run.run_id.clone(),
            question,
            subject: None,
            requested_by: "rekindle".to_owned(),
            status: HumanTaskStatus::Ready,
            created_at: now,
            deadline: now.checked_add(INCARNATION_DEADLINE).unwrap_or(Timestamp::MAX),
            decision: None,
        };
        self.register.ask(&task, None).await.map_err(StepError::from)?;
        Ok(())
    }

    /// Nothing usable is newer than the image. When something newer arrived and was refused, that is the news.
    async fn nothing_to_do(&self, key: &MachineKey, cause: String) -> Result<Planned, StepError> {
        let newest_set = self.register.sets(key).await.map_err(StepError::from)?;
        let newest_good = newest_set.iter().map(|record| &record.set.backup_id).max();
        let refused = self.register.refused_descriptions(key).await.map_err(StepError::from)?;
        let newest_refused = refused.into_iter().max_by(|a, b| a.backup_id.cmp(&b.backup_id));
        match newest_refused {
            Some(refused) if newest_good.is_none_or(|good| refused.backup_id > *good) => Ok(Planned::Stop {
                outcome: Outcome::Refused,
                error: Some(refused.error),
                cause: format!(
                    "the newest backup set {} is refused: {}. The previous image stays current; take a new backup",
                    refused.backup_id, refused.cause
                ),
            }),
            _ => Ok(stop(Outcome::NothingToDo, cause)),
        }
    }

    fn output(&self, planned: Planned) -> Output {
        let poll_seconds = self.poll_seconds;
        match planned {
            Planned::Refresh(plan) => Output {
                decision: Decision::Refresh,
                plan: Some(plan),
                error: String::new(),
                cause: String::new(),
                poll_seconds,
            },
            Planned::Stop { outcome, error, cause } => {
                let own_name = if outcome.is_success() { "" } else { outcome.name() };
                let error = error.unwrap_or_else(|| own_name.to_owned());
                // A good ending is told by its outcome: the cause begins with its name.
                let cause = if outcome.is_success() { format!("{outcome}: {cause}") } else { cause };
                Output { decision: Decision::Stop, plan: None, error, cause, poll_seconds }
            }
        }
    }
}

fn new_run(input: &Input, now: Timestamp) -> Run {
    Run::open(input.run_id.clone(), Flow::RefreshImage, Some(input.machine.clone()), now, run_deadline(now))
}

fn refresh_plan(
    run: &Run,
    key: &MachineKey,
    machine: &Machine,
    work: Work,
) -> Result<RefreshPlan, StepError> {
    let fence = run.fence.ok_or_else(|| StepError::permanent("the run holds a lease without a fence"))?;
    let (revision, configuration_counter) = match work.configuration {
        Some(CurrentConfiguration { revision, counter }) => (Some(revision), counter),
        None => (None, 0),
    };
    Ok(RefreshPlan {
        run_id: run.run_id.clone(),
        machine: key.clone(),
        fence,
        parent_image_id: work.parent_image_id,
        from_base: work.from_base,
        sets: work.sets,
        applied: work.applied,
        target: work.target,
        update_configuration_to: work.update_configuration_to,
        revision,
        configuration_counter,
        attempt_key: work.attempt_key,
        instance_types: machine.instance_types.clone(),
        zones: machine.zones.clone(),
    })
}

/// The question whether images may follow a new history of a machine; asked once.
pub fn incarnation_task(key: &MachineKey, incarnation: u64) -> HumanTaskId {
    Digest::of(format!("incarnation {incarnation} of {key}").as_bytes())
}

/// The question whether work that failed so often may be tried again; asked once for each further failure.
pub fn quarantine_task(key: &MachineKey, attempt_key: &Digest, failures: u32) -> HumanTaskId {
    Digest::of(format!("quarantine of {attempt_key} of {key} after {failures} failures").as_bytes())
}
