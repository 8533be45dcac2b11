//! What an agent may ask and report, without HTTP.

use std::sync::Arc;
use std::time::Duration;

use rekindle_cmdb::{JobRecord, Progress, Register, RegisterError};
use rekindle_domain::job::{Hello, JobResult};
use rekindle_domain::verdict::Verdict;
use rekindle_domain::{InstanceId, Job, JobOutcome, JobWork, RunState};
use rekindle_step::{CallbackError, Clock, ErrorName, JobAnswer, Workflow};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::plain_text::{LONGEST_CAUSE, LONGEST_NAME, plain};

/// How long an agent may wait for a job.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(20);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why an agent's request was not served.
#[derive(Debug, thiserror::Error)]
pub enum AgentApiError {
    /// Nobody bound the instance to a run.
    #[error("instance {0} belongs to no run")]
    Unbound(InstanceId),
    /// The instance has no such job, or nobody waits for it any more.
    #[error("instance {instance_id} has no job {step:?} that is waited for")]
    JobGone {
        /// The instance.
        instance_id: InstanceId,
        /// The step that it named.
        step: String,
    },
    /// The outcome is stored, and the waiting step could not be told: to be reported again.
    #[error("the outcome of {step:?} is stored, and the step that waits for it could not be told")]
    WorkflowUnavailable {
        /// The step.
        step: String,
        /// What the workflow engine said.
        source: CallbackError,
    },
    /// The register refused, or did not answer.
    #[error("the register could not be used")]
    Register(#[from] RegisterError),
}

/// The agent API. Cheap to clone; clones share their waiting agents.
#[derive(Clone)]
pub struct AgentApi {
    register: Register,
    workflow: Arc<dyn Workflow>,
    clock: Arc<dyn Clock>,
    posted: Arc<Notify>,
}

impl AgentApi {
    /// The API over these ports.
    pub fn new(register: Register, workflow: Arc<dyn Workflow>, clock: Arc<dyn Clock>) -> Self {
        Self { register, workflow, clock, posted: Arc::new(Notify::new()) }
    }

    /// Lets every waiting agent look for its job now: to be called after a job was posted in this process.
    pub fn wake(&self) {
        self.posted.notify_waiters();
    }

    /// What [`AgentApi::wake`] notifies, for hosts that hand it to whoever posts jobs.
    pub fn job_posted(&self) -> Arc<Notify> {
        self.posted.clone()
    }

    /// An agent has started: records what it says, and completes its instance's Boot job.
    ///
    /// # Errors
    /// [`AgentApiError::Unbound`] for an instance that nobody bound, [`AgentApiError::WorkflowUnavailable`] when the
    /// agent has to greet again.
    pub async fn hello(&self, caller: &InstanceId, hello: &Hello) -> Result<(), AgentApiError> {
        self.bound(caller).await?;
        let hello = plain_hello(hello);
        self.register.record_hello(caller, &hello, self.clock.now()).await?;
        let jobs = self.register.jobs_of_instance(caller).await?;
        // Told again, the newest Boot job's callback is sent again: the first one may have been lost.
        let Some(boot) = jobs.into_iter().rfind(|record| record.job.work == JobWork::Boot) else {
            return Ok(());
        };
        let result = JobResult::Booted { instance_id: caller.clone(), hello };
        self.finish(&boot, &JobOutcome::Succeeded { result }).await
    }

    /// The caller's next job, waiting for one to come for at most twenty seconds.
    ///
    /// # Errors
    /// [`AgentApiError::Unbound`] for an instance that nobody bound.
    pub async fn next_job(&self, caller: &InstanceId, wait: Duration) -> Result<Option<Job>, AgentApiError> {
        self.bound(caller).await?;
        let (began, wait) = (Instant::now(), wait.min(LONGEST_WAIT));
        loop {
            let woken = self.posted.notified();
            tokio::pin!(woken);
            // From here on a wake-up is not lost, although the register is asked first.
            woken.as_mut().enable();
            if let Some(job) = self.wanted_job(caller).await? {
                return Ok(Some(job));
            }
            let waited = began.elapsed();
            let left = wait.saturating_sub(waited);
            if left.is_zero() {
                return Ok(None);
            }
            tokio::select! {
                () = woken => {}
                () = sleep(pause_after(waited).min(left)) => {}
            }
        }
    }

    /// A job of a run that is closed is handed to nobody: its agent would be told at once that it is gone, and ask again.
    async fn wanted_job(&self, caller: &InstanceId) -> Result<Option<Job>, AgentApiError> {
        let Some(job) = self.register.next_job(caller, self.clock.now()).await? else { return Ok(None) };
        let run = self.register.run(&job.id.run_id).await?;
        Ok(run.is_some_and(|run| run.state == RunState::Open).then_some(job))
    }

    /// The caller goes on with a job.
    ///
    /// # Errors
    /// [`AgentApiError::JobGone`] when it has no such job, or the job's run waits for it no more.
    pub async fn heartbeat(
        &self,
        caller: &InstanceId,
        step: &str,
        progress: Option<Progress>,
    ) -> Result<(), AgentApiError> {
        self.bound(caller).await?;
        let progress =
            progress.map(|progress| Progress { unit: plain(&progress.unit, LONGEST_NAME), ..progress });
        let beat = self.register.heartbeat_job(caller, step, progress, self.clock.now()).await;
        match beat {
            Ok(record) if self.forward(&record).await => Ok(()),
            Ok(record) => self.still_wanted(caller, &record).await,
            Err(RegisterError::JobGone { .. }) => self.still_untold(caller, step).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the waiting step may have heard that the agent is alive; not when nobody waits.
    async fn forward(&self, record: &JobRecord) -> bool {
        let Some(token) = record.token.as_ref() else { return false };
        match self.workflow.send_task_heartbeat(token.as_str()).await {
            Ok(()) => true,
            Err(CallbackError::Gone) => false,
            Err(error) => {
                tracing::warn!(job = %record.job.id, %error, "a heartbeat was not forwarded");
                true
            }
        }
    }

    /// An agent whose outcome is stored goes on beating until the waiting step was told: it must not be given up
    /// meanwhile.
    async fn still_untold(&self, caller: &InstanceId, step: &str) -> Result<(), AgentApiError> {
        let record = self.register.job_of_instance(caller, step).await?;
        match record.filter(|record| record.outcome.is_some()) {
            Some(record) if self.forward(&record).await => Ok(()),
            _ => Err(gone(caller, step)),
        }
    }

    /// The task does not wait, but the step may be entered again with a new token, and then the agent's work counts. Only
    /// a run that is closed makes it useless.
    async fn still_wanted(&self, caller: &InstanceId, record: &JobRecord) -> Result<(), AgentApiError> {
        let run = self.register.run(&record.job.id.run_id).await?;
        match run.map(|run| run.state) {
            Some(RunState::Open) => Ok(()),
            _ => Err(gone(caller, &record.job.id.step)),
        }
    }

    /// A job of the caller ended. The first outcome is stored and counts; the waiting step is answered with it.
    ///
    /// # Errors
    /// [`AgentApiError::JobGone`] when it has no such job, [`AgentApiError::WorkflowUnavailable`] when it has to be
    /// reported again.
    pub async fn outcome(
        &self,
        caller: &InstanceId,
        step: &str,
        outcome: JobOutcome,
    ) -> Result<(), AgentApiError> {
        self.bound(caller).await?;
        let record = self.register.job_of_instance(caller, step).await?;
        // Nobody but the greeting completes a Boot job.
        let record = record.filter(|record| record.job.work != JobWork::Boot);
        let record = record.ok_or_else(|| gone(caller, step))?;
        let outcome = checked(&record.job.work, outcome);
        self.finish(&record, &outcome).await
    }

    /// Stores the outcome, then tells the step. Where the step cannot be told now, the agent reports again: the sweep would
    /// tell it too, and the agent is sooner.
    async fn finish(&self, record: &JobRecord, outcome: &JobOutcome) -> Result<(), AgentApiError> {
        let stored = self.register.finish_job(&record.job.id, outcome, self.clock.now()).await?;
        let (Some(outcome), Some(token)) = (&stored.outcome, stored.token.as_ref()) else { return Ok(()) };
        match JobAnswer::to(outcome).deliver(self.workflow.as_ref(), token.as_str()).await {
            Ok(()) | Err(CallbackError::Gone) => Ok(()),
            Err(source) => Err(AgentApiError::WorkflowUnavailable {
                step: plain(&stored.job.id.step, LONGEST_NAME),
                source,
            }),
        }
    }

    async fn bound(&self, caller: &InstanceId) -> Result<(), AgentApiError> {
        match self.register.instance(caller).await? {
            Some(_) => Ok(()),
            None => Err(AgentApiError::Unbound(caller.clone())),
        }
    }
}

/// How long the register is left alone after a look that found nothing. Each look is paid for; and a job most often
/// follows the one before it at once, so that one that comes late may be found late: by a quarter of its wait at most.
fn pause_after(waited: Duration) -> Duration {
    (waited / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

impl std::fmt::Debug for AgentApi {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AgentApi").finish_non_exhaustive()
    }
}

fn gone(caller: &InstanceId, step: &str) -> AgentApiError {
    AgentApiError::JobGone { instance_id: caller.clone(), step: plain(step, LONGEST_NAME) }
}

fn plain_hello(hello: &Hello) -> Hello {
    Hello {
        hostname: plain(&hello.hostname, LONGEST_NAME),
        ip_address: plain(&hello.ip_address, LONGEST_NAME),
        agent_version: plain(&hello.agent_version, LONGEST_NAME),
        ssh_key_names: hello.ssh_key_names.iter().map(|name| plain(name, LONGEST_NAME)).collect(),
        ..hello.clone()
    }
}

/// An outcome that the flow can use: with a name that its states match, text that can be shown, and a result that
/// belongs to the work.
fn checked(work: &JobWork, outcome: JobOutcome) -> JobOutcome {
    match outcome {
        JobOutcome::Succeeded { result } if fits(work, &result) => {
            JobOutcome::Succeeded { result: plain_result(result) }
        }
        JobOutcome::Succeeded { .. } => JobOutcome::Failed {
            error: ErrorName::AgentFailed.as_str().to_owned(),
            cause: format!("the agent answered {} with the result of other work", work.name()),
        },
        JobOutcome::Failed { error, cause } => {
            let name = ErrorName::parse(&error).filter(|name| may_be_said_by_agents(*name));
            let name = name.unwrap_or(ErrorName::AgentFailed);
            JobOutcome::Failed { error: name.as_str().to_owned(), cause: plain(&cause, LONGEST_CAUSE) }
        }
    }
}

/// What the register, the cloud or a person said is not for an agent to say.
fn may_be_said_by_agents(name: ErrorName) -> bool {
    let text = name.as_str();
    text.starts_with("Agent.") || text.starts_with("Step.")
}

fn fits(work: &JobWork, result: &JobResult) -> bool {
    matches!(
        (work, result),
        (JobWork::Boot, JobResult::Booted { .. })
            | (JobWork::UpdateConfiguration { .. }, JobResult::ConfigurationUpdated { .. })
            | (JobWork::TransferAndRestore { .. }, JobResult::Restored { .. })
            | (JobWork::Verify { .. }, JobResult::Verified { .. })
            | (JobWork::Seal, JobResult::Sealed)
            | (JobWork::Activate, JobResult::Activated { .. })
            | (JobWork::CheckReplica, JobResult::ReplicaChecked { .. })
    )
}

fn plain_result(result: JobResult) -> JobResult {
    match result {
        JobResult::Verified { verdict } => JobResult::Verified { verdict: plain_verdict(verdict) },
        JobResult::ReplicaChecked { verdict } => {
            JobResult::ReplicaChecked { verdict: plain_verdict(verdict) }
        }
        JobResult::Activated { programs } => {
            JobResult::Activated { programs: programs.iter().map(|name| plain(name, LONGEST_NAME)).collect() }
        }
        result => result,
    }
}

fn plain_verdict(mut verdict: Verdict) -> Verdict {
    for check in &mut verdict.checks {
        check.name = plain(&check.name, LONGEST_NAME);
        check.explanation = plain(&check.explanation, LONGEST_CAUSE);
        check.data_store = check.data_store.as_deref().map(|name| plain(name, LONGEST_NAME));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_quick_at_first_and_few_in_a_whole_wait() {
        let (mut waited, mut looks, mut longest) = (Duration::ZERO, 1, Duration::ZERO);
        while waited < LONGEST_WAIT {
            let pause = pause_after(waited);
            assert!(pause >= longest && pause <= LONGEST_PAUSE, "{waited:?}: {pause:?}");
            assert!(
                pause <= Duration::from_millis(250) || waited > Duration::from_secs(1),
                "{waited:?}: {pause:?}"
            );
            longest = pause;
            waited += pause;
            looks += 1;
        }
        assert!(looks <= 30, "{looks}");
    }
}
