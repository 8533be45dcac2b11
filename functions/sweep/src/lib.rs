//! Finishes what nobody finished: runs whose execution was stopped, timed out or died, leases of closed runs, reports
//! that are owed, answers that were lost, agents that fell silent, questions past their deadline, and backup sets whose
//! event was lost.
//!
//! Each call does the one next thing about each run and may be repeated at any time. When nothing is due it costs one
//! query for unfinished runs and one for questions, four small reads about the register itself (its epoch, which table
//! it is, its rebuild, and what the control bucket remembers), and a few reads and one listing for each machine.
//!
//! While the register stands restored, it halts and says so; and it carries out the rebuild that ends this.

mod halt;
mod jobs;
mod rebuild;

use std::sync::Arc;

use async_trait::async_trait;
use rekindle_cloud::CloudProvider;
use rekindle_cmdb::Register;
use rekindle_domain::{
    Flow, HumanTask, HumanTaskStatus, JobStatus, MachineKey, Outcome, RecoveryKind, RegisterEpoch, Run, RunId,
};
use rekindle_function_destroy::Destroy;
use rekindle_function_plan_refresh::PlanRefresh;
use rekindle_function_report::WriteReport;
use rekindle_planning::register_epoch::next_mark;
use rekindle_planning::sweep::ExecutionStanding;
use rekindle_planning::{SweepAction, sweep_action};
use rekindle_requests::approval::{approval_task, decide};
use rekindle_requests::refresh::start_refresh;
use rekindle_requests::register_standing::{self, KnownStanding};
use rekindle_step::{
    CallbackError, Clock, ErrorName, ExecutionState, Step, StepContext, StepError, Workflow,
};
use serde::{Deserialize, Serialize};

use crate::halt::tell_halt;

/// The step.
pub struct Sweep {
    /// The register.
    pub register: Register,
    /// Decides when a look is a proof.
    pub cloud: Arc<dyn CloudProvider>,
    /// Knows and stops executions.
    pub workflow: Arc<dyn Workflow>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Knows what is due for a machine.
    pub plan: PlanRefresh,
    /// Cleans up after a run.
    pub destroy: Destroy,
    /// Writes what a dead run owes.
    pub report: WriteReport,
}

/// Nothing: the sweep looks at everything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {}

/// What was done.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
pub struct Output {
    /// One line for each thing that was done.
    pub done: Vec<String>,
    /// One line for each thing that could not be done; the next sweep tries again.
    pub failed: Vec<String>,
    /// How many questions wait for a person.
    pub waiting_for_people: usize,
    /// Why the sweep halts, one sentence: the register was restored to an earlier time, and is not rebuilt by now.
    pub restored: Option<String>,
}

#[async_trait]
impl Step for Sweep {
    const NAME: &'static str = "sweep";
    type Input = Input;
    type Output = Output;

    async fn run(&self, _input: Input, context: &StepContext) -> Result<Output, StepError> {
        let mut output = Output { waiting_for_people: self.waiting_for_people().await?, ..Output::default() };
        let standing = self.plan.register_standing().await?;
        let rebuild = self.register.rebuild().await.map_err(StepError::from)?;
        match &standing {
            KnownStanding::Restored { .. } => self.keep_alive_all(&mut output).await?,
            KnownStanding::Current(epoch) => {
                let marked = self.mark(epoch).await;
                note(&mut output, "the register", marked);
                self.sweep(context, rebuild.is_some(), &mut output).await?;
            }
        }
        let rebuilt = self.rebuild(rebuild.as_ref(), &standing).await;
        if let KnownStanding::Restored { sentence } = &standing {
            tell_halt(sentence, &rebuilt, &mut output);
        }
        note(&mut output, "the rebuild of the register", rebuilt.map(|progress| progress.told));
        Ok(output)
    }
}

impl Sweep {
    /// The log line is what an alarm is made of: `WaitingForPeopleFilter` in infra/template.yaml reads its field.
    async fn waiting_for_people(&self) -> Result<usize, StepError> {
        let tasks = self.register.open_human_tasks().await.map_err(StepError::from)?;
        let now = self.clock.now();
        let waiting_for_people = tasks.iter().filter(|task| task.deadline > now).count();
        if waiting_for_people > 0 {
            tracing::warn!(waiting_for_people, "questions wait for a person");
        }
        Ok(waiting_for_people)
    }

    /// A register that was never rebuilt has kept no image apart.
    async fn sweep(
        &self,
        context: &StepContext,
        was_rebuilt: bool,
        output: &mut Output,
    ) -> Result<(), StepError> {
        for run in self.register.unfinished_runs().await.map_err(StepError::from)? {
            let done = self.sweep_run(&run, context).await;
            note(output, &format!("run {}", run.run_id), done);
        }
        for task in self.register.open_human_tasks().await.map_err(StepError::from)? {
            let done = self.sweep_human_task(&task).await;
            note(output, "a question to a person", done);
        }
        for machine in self.register.all_machines().await.map_err(StepError::from)? {
            let done = self.sweep_machine(&machine).await;
            note(output, &machine.to_string(), done);
            if was_rebuilt {
                let done = self.end_quarantine(&machine).await;
                note(output, &machine.to_string(), done);
            }
        }
        Ok(())
    }

    /// Lets the register's mark grow when it is time, and the control bucket remember it.
    async fn mark(&self, epoch: &RegisterEpoch) -> Result<Option<String>, StepError> {
        let Some(next) = next_mark(epoch, self.clock.now()) else { return Ok(None) };
        if self.register.put_epoch(&next, Some(epoch)).await.map_err(StepError::from)? {
            let (control, customer) = (self.plan.control.as_ref(), &self.plan.customer);
            register_standing::keep_witness(control, customer, next.progress()).await?;
        }
        Ok(None)
    }
}

/// One thing that cannot be done does not keep the sweep from the others.
fn note(output: &mut Output, about: &str, done: Result<Option<String>, StepError>) {
    match done {
        Ok(None) => {}
        Ok(Some(done)) => output.done.push(format!("{about}: {done}")),
        Err(error) => {
            tracing::error!(about, error = error.chain(), "the sweep could not do this");
            output.failed.push(format!("{about}: {}", error.chain()));
        }
    }
}

/// The sweep that a schedule starts. Nobody reads the answer of a scheduled call, so what could not be done is an error:
/// that is what alarms see. It comes after everything was tried.
pub struct ScheduledSweep(pub Sweep);

#[async_trait]
impl Step for ScheduledSweep {
    const NAME: &'static str = "sweep";
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, context: &StepContext) -> Result<Output, StepError> {
        let output = self.0.run(input, context).await?;
        if let Some(sentence) = &output.restored {
            let what = match output.failed.as_slice() {
                [] | [_] => "the sweep halts".to_owned(),
                // The halt itself is the first one.
                [_, others @ ..] => {
                    format!("the sweep halts, and also failed at this: {}", others.join("; "))
                }
            };
            return Err(register_standing::refusal(&what, sentence));
        }
        match output.failed.first() {
            None => Ok(output),
            Some(first) => {
                let what = format!("{} things could not be done; the first: {first}", output.failed.len());
                Err(StepError::dirty(what).next_step(
                    "The next sweep tries again; when it fails in the same way, mend what the sentence names",
                ))
            }
        }
    }
}

impl Sweep {
    async fn sweep_run(&self, run: &Run, context: &StepContext) -> Result<Option<String>, StepError> {
        let standing = self.standing(run).await?;
        let keeps_replicas = self.keeps_replicas(run).await?;
        let settling_time = self.cloud.characteristics().settling_time;
        match sweep_action(run, standing, keeps_replicas, settling_time, self.clock.now()) {
            SweepAction::Leave if standing == ExecutionStanding::Running => {
                self.decide_again(run).await?;
                self.answer_jobs(run).await
            }
            SweepAction::Leave => Ok(None),
            SweepAction::StartExecution => self.start(run).await,
            SweepAction::StopExecution => self.stop(run).await,
            SweepAction::CloseAndDestroy | SweepAction::Destroy => self.clean_up(run, context).await,
            SweepAction::Report if keeps_replicas && self.has_agents_at_work(run).await? => Ok(None),
            SweepAction::Report => self.write_report(run, context).await,
        }
    }

    pub(crate) async fn standing(&self, run: &Run) -> Result<ExecutionStanding, StepError> {
        self.execution_standing(run.flow, &run.run_id).await
    }

    pub(crate) async fn execution_standing(
        &self,
        flow: Flow,
        run_id: &RunId,
    ) -> Result<ExecutionStanding, StepError> {
        let state = self.workflow.describe_execution(flow.state_machine(), run_id.as_str()).await;
        let state = state
            .map_err(|error| StepError::transient("the execution could not be looked at").because(error))?;
        Ok(match state {
            ExecutionState::Running => ExecutionStanding::Running,
            ExecutionState::Terminal => ExecutionStanding::Terminal,
            ExecutionState::Unknown => ExecutionStanding::Unknown,
        })
    }

    /// An open recovery of a declared disaster that has started something keeps it until a person ends it.
    async fn keeps_replicas(&self, run: &Run) -> Result<bool, StepError> {
        let Some(plan_id) = &run.plan_id else {
            // Only a rebuild says so of a recovery whose plan is forgotten: its replicas may serve.
            return Ok(run.flow == Flow::Recover && run.last_intent_at.is_some());
        };
        let plan = self.register.plan(plan_id).await.map_err(StepError::from)?;
        Ok(plan.is_some_and(|plan| plan.kind == RecoveryKind::Disaster) && run.last_intent_at.is_some())
    }

    /// Replicas outlive the execution that started them: one may be about to say that it serves, and a report is
    /// written only once. A job that nobody does ends with its deadline.
    async fn has_agents_at_work(&self, run: &Run) -> Result<bool, StepError> {
        let jobs = self.register.jobs_of_run(&run.run_id).await.map_err(StepError::from)?;
        let now = self.clock.now();
        Ok(jobs.iter().any(|record| record.status != JobStatus::Finished && record.job.deadline > now))
    }

    async fn start(&self, run: &Run) -> Result<Option<String>, StepError> {
        let Some(machine) = &run.machine else { return Ok(None) };
        start_refresh(self.workflow.as_ref(), &run.run_id, machine).await?;
        Ok(Some("the lease had been handed over to it, and it was never started: started".to_owned()))
    }

    async fn stop(&self, run: &Run) -> Result<Option<String>, StepError> {
        let cause = "its deadline has passed";
        self.workflow
            .stop_execution(run.flow.state_machine(), run.run_id.as_str(), cause)
            .await
            .map_err(|error| StepError::transient("the execution could not be stopped").because(error))?;
        Ok(Some("its deadline has passed: the execution was stopped".to_owned()))
    }

    async fn clean_up(&self, run: &Run, context: &StepContext) -> Result<Option<String>, StepError> {
        let (error, cause) = self.ending_of(run);
        let input = rekindle_function_destroy::Input { run_id: run.run_id.clone(), error, cause };
        let output = self.destroy.run(input, context).await?;
        match output.found.as_slice() {
            [] => Ok(Some("nothing of it is left".to_owned())),
            found => Ok(Some(format!("destroyed {}", found.join(", ")))),
        }
    }

    async fn write_report(&self, run: &Run, context: &StepContext) -> Result<Option<String>, StepError> {
        let (error, cause) = self.ending_of(run);
        let input =
            rekindle_function_report::Input { run_id: run.run_id.clone(), error, cause, subject: None };
        self.report.run(input, context).await?;
        Ok(Some("wrote the report that it owed".to_owned()))
    }

    /// A run that closed itself has said how it ended; one that died has not.
    fn ending_of(&self, run: &Run) -> (String, String) {
        match run.outcome {
            // Closed without an outcome: whoever closed it died before it could say how it ended.
            None if run.flow == Flow::RefreshImage || run.last_intent_at.is_none() => (
                Outcome::LeftForSweep.name().to_owned(),
                "the execution was stopped or died before it came to its end; the sweep has cleaned up after it"
                    .to_owned(),
            ),
            _ => (String::new(), run.cause.clone().unwrap_or_default()),
        }
    }

    /// A decision whose callback was lost is sent again: an approved recovery must not wait for a day.
    pub(crate) async fn decide_again(&self, run: &Run) -> Result<(), StepError> {
        let Some(plan_id) = &run.plan_id else { return Ok(()) };
        let id = approval_task(&run.run_id, plan_id);
        let task = self.register.human_task(&id).await.map_err(StepError::from)?;
        let Some(task) = task.filter(|task| task.status != HumanTaskStatus::Ready) else { return Ok(()) };
        match &task.decision {
            Some(decision) => {
                decide(&self.register, self.workflow.as_ref(), &id, decision).await?;
            }
            None => self.tell_silence(&task).await?,
        }
        Ok(())
    }

    async fn sweep_human_task(&self, task: &HumanTask) -> Result<Option<String>, StepError> {
        if task.status != HumanTaskStatus::Ready || self.clock.now() <= task.deadline {
            return Ok(None);
        }
        self.tell_silence(task).await?;
        Ok(Some("its deadline has passed without a decision".to_owned()))
    }

    /// Takes a question back, unless somebody has decided meanwhile, and tells the run that nobody did.
    async fn tell_silence(&self, task: &HumanTask) -> Result<(), StepError> {
        let (task, token) =
            self.register.exit_human_task(&task.human_task_id).await.map_err(StepError::from)?;
        let Some(token) = token.filter(|_| task.status == HumanTaskStatus::Exited) else { return Ok(()) };
        let cause = format!("nobody decided before {}: {}", task.deadline, task.question);
        let told = self
            .workflow
            .send_task_failure(token.as_str(), ErrorName::ApprovalTimedOut.as_str(), &cause)
            .await;
        match told {
            Ok(()) | Err(CallbackError::Gone) => Ok(()),
            Err(error) => Err(StepError::transient("a time-out could not be delivered").because(error)),
        }
    }

    /// A machine with a set that nobody looked at, or with work whose pause is over, gets a refresh.
    async fn sweep_machine(&self, machine: &MachineKey) -> Result<Option<String>, StepError> {
        let state = self.register.machine_state(machine).await.map_err(StepError::from)?;
        if state.lease.is_some() {
            return Ok(None); // Its holder sees to it, or is swept itself.
        }
        let Some(reason) = self.plan.due_now(machine).await? else { return Ok(None) };
        start_refresh(self.workflow.as_ref(), &RunId::mint(), machine).await?;
        Ok(Some(format!("started a refresh: {reason}")))
    }
}
