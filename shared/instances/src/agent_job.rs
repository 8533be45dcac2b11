//! Jobs for agents: posted once, answered from what is stored.

use std::sync::Arc;

use rekindle_cmdb::{NewJob, Register, TaskToken};
use rekindle_domain::job::JobResult;
use rekindle_domain::{Bytes, InstanceId, Job, JobId, JobOutcome, JobStatus, JobWork, RunState};
use rekindle_planning::deadline::{HEARTBEAT_SECONDS, job_deadline};
use rekindle_step::{CallbackError, Clock, ErrorName, JobAnswer, StepError, Workflow};

/// A job and the state that waits for it.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Which job.
    pub id: JobId,
    /// What to do.
    pub work: JobWork,
    /// Whose agent does it.
    pub instance_id: InstanceId,
    /// Stored bytes that the work is about; decides how long it may take.
    pub stored: Bytes,
    /// By which the waiting state is answered.
    pub task_token: TaskToken,
}

/// Gives jobs to agents.
#[derive(Clone)]
pub struct AgentJobs {
    register: Register,
    workflow: Arc<dyn Workflow>,
    clock: Arc<dyn Clock>,
    announce: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl AgentJobs {
    /// With the ports that it needs.
    pub fn new(register: Register, workflow: Arc<dyn Workflow>, clock: Arc<dyn Clock>) -> Self {
        Self { register, workflow, clock, announce: None }
    }

    /// Calls this whenever a job was posted: agents of the same process need not wait for their next look.
    #[must_use]
    pub fn announcing(mut self, announce: Arc<dyn Fn() + Send + Sync>) -> Self {
        self.announce = Some(announce);
        self
    }

    /// Posts a job, or finds the one that was posted before and gives it the newer token. One that is finished
    /// answers the waiting state at once: the stored result is the truth, however often the state is entered.
    ///
    /// # Errors
    /// When the run is closed, and when register or workflow engine cannot be reached.
    pub async fn assign(&self, assignment: Assignment) -> Result<(), StepError> {
        self.refuse_closed_run(&assignment.id).await?;
        let now = self.clock.now();
        let id = assignment.id.clone();
        let boots = assignment.work == JobWork::Boot;
        let job = Job {
            deadline: job_deadline(&assignment.work, assignment.stored, now),
            id: assignment.id,
            work: assignment.work,
            heartbeat_seconds: HEARTBEAT_SECONDS,
        };
        let new =
            NewJob { job, instance_id: assignment.instance_id, token: assignment.task_token.clone(), now };
        let mut record = self.register.post_job(&new).await.map_err(StepError::from)?;
        if boots && record.status != JobStatus::Finished {
            // The agent may have reported before the job was there to be finished.
            if let Some(hello) = self.register.hello(&record.instance_id).await.map_err(StepError::from)? {
                let result = JobResult::Booted { instance_id: record.instance_id, hello: hello.hello };
                let outcome = JobOutcome::Succeeded { result };
                record = self.register.finish_job(&id, &outcome, now).await.map_err(StepError::from)?;
            }
        }
        match (&record.outcome, &self.announce) {
            (Some(outcome), _) => self.answer(outcome, &assignment.task_token).await,
            (None, Some(announce)) => {
                announce();
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    async fn refuse_closed_run(&self, id: &JobId) -> Result<(), StepError> {
        let run = self.register.run(&id.run_id).await.map_err(StepError::from)?;
        match run.map(|run| run.state) {
            Some(RunState::Open) => Ok(()),
            _ => Err(StepError::new(ErrorName::RunClosed, format!("{id} was not begun: the run is closed"))),
        }
    }

    /// Tells the waiting state what a finished job means. A state that no longer waits was answered before.
    async fn answer(&self, outcome: &JobOutcome, token: &TaskToken) -> Result<(), StepError> {
        let told = JobAnswer::to(outcome).deliver(self.workflow.as_ref(), token.as_str()).await;
        match told {
            Ok(()) | Err(CallbackError::Gone) => Ok(()),
            Err(error) => Err(StepError::transient("the waiting state could not be answered").because(error)),
        }
    }
}
