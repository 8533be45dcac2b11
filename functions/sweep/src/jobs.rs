//! What the sweep does about the jobs of a run whose execution waits for them: answers that were lost are sent again,
//! and agents that fell silent are given up where the workflow engine did not notice.

use rekindle_cmdb::JobRecord;
use rekindle_domain::{Run, RunState};
use rekindle_planning::{SignsOfLife, silent_since};
use rekindle_step::{CallbackError, ErrorName, JobAnswer, StepError};

use crate::Sweep;

impl Sweep {
    /// Answers every state of the run that waits for an answer which the register can give.
    pub(crate) async fn answer_jobs(&self, run: &Run) -> Result<Option<String>, StepError> {
        let (mut sent_again, mut given_up) = (0_usize, 0_usize);
        for job in self.register.jobs_of_run(&run.run_id).await.map_err(StepError::from)? {
            if let Some(outcome) = &job.outcome {
                sent_again += usize::from(self.answer(&job, JobAnswer::to(outcome)).await?);
            } else if let Some(answer) = self.answer_of_the_silent(run, &job).await? {
                given_up += usize::from(self.answer(&job, answer).await?);
            }
        }
        Ok(told(sent_again, given_up))
    }

    /// Whether somebody took the answer. A token that nobody waits under is forgotten, so that it is never sent again;
    /// one that was taken is not, for what was taken may have been lost all the same.
    pub(crate) async fn answer(&self, job: &JobRecord, answer: JobAnswer) -> Result<bool, StepError> {
        let Some(token) = job.token.as_ref() else { return Ok(false) };
        match answer.deliver(self.workflow.as_ref(), token.as_str()).await {
            Ok(()) => Ok(true),
            Err(CallbackError::Gone) => {
                self.register.forget_token(job).await.map_err(StepError::from)?;
                Ok(false)
            }
            Err(error) => {
                Err(StepError::transient(format!("{} could not be answered", job.job.id)).because(error))
            }
        }
    }

    /// That the agent of an unfinished job is silent, where it is. The flow then ends as it does when the engine itself
    /// notices, and what the agent may still report is stored and changes nothing.
    async fn answer_of_the_silent(&self, run: &Run, job: &JobRecord) -> Result<Option<JobAnswer>, StepError> {
        if run.state != RunState::Open || job.token.is_none() {
            return Ok(None);
        }
        let hello = self.register.hello(&job.instance_id).await.map_err(StepError::from)?;
        let signs = SignsOfLife {
            posted_at: job.posted_at,
            taken_at: job.taken_at,
            last_heartbeat_at: job.last_heartbeat_at,
            greeted_at: hello.map(|hello| hello.at),
        };
        Ok(silent_since(&job.job.work, &signs, self.clock.now()).map(|since| JobAnswer::Failure {
            error: ErrorName::AgentSilent.as_str().to_owned(),
            cause: format!("nothing was heard of the agent of {} since {since}", job.instance_id),
        }))
    }
}

fn told(sent_again: usize, given_up: usize) -> Option<String> {
    let sent_again = (sent_again > 0).then(|| format!("sent {sent_again} lost answers again"));
    let given_up = (given_up > 0).then(|| format!("gave up {given_up} silent agents"));
    match (sent_again, given_up) {
        (Some(sent_again), Some(given_up)) => Some(format!("{sent_again}, and {given_up}")),
        (sent_again, given_up) => sent_again.or(given_up),
    }
}
