//! Questions that wait for a person, and the answers.

use rekindle_cmdb::{DecisionRefusal, RegisterError};
use rekindle_domain::{Decision, Digest, HumanTask, HumanTaskId, RunId};
use rekindle_requests::approval::{answer, approval_task};
use serde::Deserialize;

use super::OperatorApi;
use super::code::Code;
use super::cursor::{List, PageQuery, list};
use super::error::OperatorApiError;
use crate::plain_text::{LONGEST_CAUSE, plain};

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    /// Yes or no.
    pub approved: bool,
    /// In their own words.
    #[serde(default)]
    pub comment: Option<String>,
    /// The subject of the question once more: what was read is what is decided. Left out where it has none.
    #[serde(default)]
    pub subject: Option<Digest>,
}

impl OperatorApi {
    /// What waits for a person, the oldest first.
    ///
    /// # Errors
    /// When the page is not one of this list.
    pub async fn human_tasks(&self, query: &PageQuery) -> Result<List<HumanTask>, OperatorApiError> {
        const NAME: &str = "human-tasks";
        let (limit, after) = (query.limit()?, query.position(NAME)?);
        list(NAME, self.register.open_human_tasks_page(limit, after.as_deref()).await)
    }

    /// A question, whether or not it waits.
    ///
    /// # Errors
    /// When it was never asked.
    pub async fn human_task(&self, id: &HumanTaskId) -> Result<HumanTask, OperatorApiError> {
        let task = self.register.human_task(id).await?;
        task.ok_or_else(|| {
            OperatorApiError::new(Code::HumanTaskUnknown, format!("There is no human task {id}."))
        })
    }

    /// Decides, and tells the run that waits. The same decision of the same person again changes nothing.
    ///
    /// # Errors
    /// When the decider is who asked, when the decision is about something else than the question, and when it comes
    /// too late.
    pub async fn decide(
        &self,
        caller: &str,
        id: &HumanTaskId,
        body: &DecisionBody,
    ) -> Result<HumanTask, OperatorApiError> {
        let task = self.human_task(id).await?;
        if task.subject != body.subject {
            let subject = task.subject.as_ref().map_or("nothing", Digest::as_str);
            let detail = format!("The question is about {subject}. Read it again, and repeat its subject.");
            return Err(OperatorApiError::new(Code::SubjectChanged, detail));
        }
        let decision = self.decision(caller, &task, body);
        let (task, token) = self.register.decide(id, &decision).await.map_err(refused)?;
        let Some(token) = token else { return Ok(task) };
        // What is stored is the truth: where the run cannot be told now, the sweep tells it.
        if let Err(error) = answer(self.workflow.as_ref(), &token, &decision).await {
            tracing::warn!(human_task_id = %id, error = error.chain(), "a decision was not told");
        }
        Ok(task)
    }

    /// Said again, it is the stored decision with the time of the first saying.
    fn decision(&self, caller: &str, task: &HumanTask, body: &DecisionBody) -> Decision {
        let decision = Decision {
            approved: body.approved,
            decided_by: caller.to_owned(),
            decided_at: self.clock.now(),
            comment: body.comment.as_deref().map(|comment| plain(comment, LONGEST_CAUSE)),
        };
        match &task.decision {
            Some(stored) if (Decision { decided_at: stored.decided_at, ..decision.clone() }) == *stored => {
                stored.clone()
            }
            _ => decision,
        }
    }

    /// What was asked of people in a run: its approval, whether or not it waits, and whatever else waits.
    pub(super) async fn human_tasks_of(
        &self,
        run_id: &RunId,
        plan_id: Option<&Digest>,
    ) -> Result<Vec<HumanTask>, OperatorApiError> {
        let mut tasks = Vec::new();
        if let Some(plan_id) = plan_id {
            tasks.extend(self.register.human_task(&approval_task(run_id, plan_id)).await?);
        }
        for task in self.register.open_human_tasks().await? {
            let is_known = tasks.iter().any(|known: &HumanTask| known.human_task_id == task.human_task_id);
            if task.run_id == *run_id && !is_known {
                tasks.push(task);
            }
        }
        Ok(tasks)
    }
}

fn refused(error: RegisterError) -> OperatorApiError {
    let RegisterError::DecisionRefused { reason, .. } = &error else { return error.into() };
    let code = match reason {
        DecisionRefusal::Requester => Code::RequesterCannotDecide,
        DecisionRefusal::Deadline => Code::DeadlinePassed,
        DecisionRefusal::Decided => Code::AlreadyDecided,
        DecisionRefusal::Exited => Code::TaskExited,
    };
    OperatorApiError::new(code, error.to_string())
}
