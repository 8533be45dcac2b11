//! What the sweep still does while the register stands restored: nothing that ends, destroys or releases anything, since
//! what it would do that by is of the past. What lives goes on: answers that were lost and decisions that were made are
//! sent again to executions that run, so that a declared disaster is recovered all the same.

use rekindle_domain::Run;
use rekindle_planning::sweep::ExecutionStanding;
use rekindle_requests::register_standing::refusal;
use rekindle_step::{JobAnswer, StepError};

use crate::rebuild::Progress;
use crate::{Output, Sweep, note};

/// Says that the register was restored, as something that could not be done, and as the first one: alarms see it until
/// it is rebuilt. A rebuild that came to its end in this very sweep has ended the halt.
pub(crate) fn tell_halt(sentence: &str, rebuilt: &Result<Progress, StepError>, output: &mut Output) {
    if rebuilt.as_ref().is_ok_and(|progress| progress.ended_the_halt) {
        return;
    }
    output.restored = Some(sentence.to_owned());
    let what = "no run was ended, nothing was destroyed and no lease was released";
    let refusal = refusal(what, sentence);
    tracing::error!(error = refusal.chain(), "the sweep halts");
    output.failed.insert(0, format!("the register: {}", refusal.chain()));
}

impl Sweep {
    pub(crate) async fn keep_alive_all(&self, output: &mut Output) -> Result<(), StepError> {
        for run in self.register.unfinished_runs().await.map_err(StepError::from)? {
            let done = self.keep_alive(&run).await;
            note(output, &format!("run {}", run.run_id), done);
        }
        Ok(())
    }

    async fn keep_alive(&self, run: &Run) -> Result<Option<String>, StepError> {
        if self.standing(run).await? != ExecutionStanding::Running {
            return Ok(None);
        }
        self.decide_again(run).await?;
        let mut sent_again = 0_usize;
        for job in self.register.jobs_of_run(&run.run_id).await.map_err(StepError::from)? {
            // An agent is not given up here: when it was heard of last is of the past too.
            let Some(outcome) = &job.outcome else { continue };
            sent_again += usize::from(self.answer(&job, JobAnswer::to(outcome)).await?);
        }
        Ok((sent_again > 0).then(|| format!("sent {sent_again} lost answers again")))
    }
}
