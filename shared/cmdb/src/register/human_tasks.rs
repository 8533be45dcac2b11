//! Questions to people. The token by which the waiting run is answered is kept beside the task, and is handed out
//! with a decision that counts, never with the task.

use rekindle_domain::human_task::{Decision, HumanTask, HumanTaskId, HumanTaskStatus};

use crate::attributes::{Item, attribute, from_item, key_of, text, text_of, to_item, unreadable};
use crate::error::{DecisionRefusal, RegisterError};
use crate::expression::Expression;
use crate::keys::{self, IndexKind};
use crate::register::Register;
use crate::table::index_attributes;
use crate::token::TaskToken;

const TOKEN: &str = "x_token";

impl Register {
    /// Asks a person, once. When the question was asked already it stays as it was; while it waits, the new token
    /// replaces the old one.
    pub async fn ask(&self, task: &HumanTask, token: Option<&str>) -> Result<HumanTask, RegisterError> {
        let key = keys::human_task(&task.human_task_id);
        let mut item = to_item(&key, task)?;
        item.extend(token.map(|token| (TOKEN.to_owned(), text(token))));
        if task.status == HumanTaskStatus::Ready {
            item.extend(index_attributes(IndexKind::HumanTask, keys::sortable_time(task.created_at)));
        }
        if self.table.put(item, Expression::absent()).send().await? {
            return Ok(task.clone());
        }
        if let Some(token) = token {
            let replace = Expression::update("SET #x_token = :token", "#status = :ready")
                .with_text("token", token)
                .with_text("ready", "Ready");
            if let Some(item) = self.table.update(&key, &replace).await? {
                return from_item(&key, item);
            }
        }
        let stored = self.human_task(&task.human_task_id).await?;
        stored.ok_or_else(|| unknown(&task.human_task_id))
    }

    /// Decides. The token, where there is one, is for answering the run; the same decision again gives it again.
    ///
    /// # Errors
    /// [`RegisterError::DecisionRefused`] when the decider is who asked, the deadline has passed, somebody decided
    /// otherwise, or the run waits no more.
    pub async fn decide(
        &self,
        id: &HumanTaskId,
        decision: &Decision,
    ) -> Result<(HumanTask, Option<TaskToken>), RegisterError> {
        let key = keys::human_task(id);
        let item = self.table.get(&key).await?.ok_or_else(|| unknown(id))?;
        if let Some(reason) = refusal(&from_item(&key, item.clone())?, decision) {
            return Err(RegisterError::DecisionRefused { human_task_id: id.clone(), reason });
        }
        let complete = Expression::update(
            "SET #status = :completed, #decision = :decision REMOVE #x_open_kind, #x_open_since",
            "#status = :ready",
        )
        .with_text("completed", "Completed")
        .with_text("ready", "Ready")
        .with("decision", attribute(decision).map_err(|error| unreadable(&key, error))?);
        if let Some(item) = self.table.update(&key, &complete).await? {
            return decided(item);
        }
        let item = self.table.get(&key).await?.ok_or_else(|| unknown(id))?;
        match refusal(&from_item(&key, item.clone())?, decision) {
            Some(reason) => Err(RegisterError::DecisionRefused { human_task_id: id.clone(), reason }),
            None => decided(item),
        }
    }

    /// A human task, without its token.
    pub async fn human_task(&self, id: &HumanTaskId) -> Result<Option<HumanTask>, RegisterError> {
        let key = keys::human_task(id);
        self.table.get(&key).await?.map(|item| from_item(&key, item)).transpose()
    }

    /// What waits for a person, the oldest first. Read from the index, which lags behind.
    pub async fn open_human_tasks(&self) -> Result<Vec<HumanTask>, RegisterError> {
        let items = self.table.index_items(IndexKind::HumanTask).await?;
        items.into_iter().map(|item| from_item(&key_of(&item), item)).collect()
    }

    /// Takes a question back: its deadline passed, or its run ended. A decided one stays decided. The token, where
    /// there is one, is for telling the run.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when it was never asked.
    pub async fn exit_human_task(
        &self,
        id: &HumanTaskId,
    ) -> Result<(HumanTask, Option<TaskToken>), RegisterError> {
        let key = keys::human_task(id);
        let exit = Expression::update(
            "SET #status = :exited REMOVE #x_open_kind, #x_open_since",
            "#status = :ready",
        )
        .with_text("exited", "Exited")
        .with_text("ready", "Ready");
        match self.table.update(&key, &exit).await? {
            Some(item) => decided(item),
            None => decided(self.table.get(&key).await?.ok_or_else(|| unknown(id))?),
        }
    }
}

fn unknown(id: &HumanTaskId) -> RegisterError {
    RegisterError::Unknown { kind: "human task", id: id.to_string() }
}

fn decided(item: Item) -> Result<(HumanTask, Option<TaskToken>), RegisterError> {
    let token = text_of(&item, TOKEN).map(TaskToken::from);
    Ok((from_item(&key_of(&item), item)?, token))
}

/// Why a decision does not count. The same decision again does.
fn refusal(task: &HumanTask, decision: &Decision) -> Option<DecisionRefusal> {
    let same_person = |one: &str, other: &str| one.trim().to_lowercase() == other.trim().to_lowercase();
    match task.status {
        HumanTaskStatus::Exited => Some(DecisionRefusal::Exited),
        HumanTaskStatus::Completed if task.decision.as_ref() == Some(decision) => None,
        HumanTaskStatus::Completed => Some(DecisionRefusal::Decided),
        HumanTaskStatus::Ready if same_person(&task.requested_by, &decision.decided_by) => {
            Some(DecisionRefusal::Requester)
        }
        HumanTaskStatus::Ready if decision.decided_at > task.deadline => Some(DecisionRefusal::Deadline),
        HumanTaskStatus::Ready => None,
    }
}
