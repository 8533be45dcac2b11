//! Runs, and the protocol by which they are closed.

use jiff::Timestamp;
use rekindle_domain::{Flow, Outcome, Run, RunId, RunState, ServiceKey};

use crate::attributes::{Item, from_item, key_of, to_item};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys::{self, IndexKind};
use crate::register::Register;
use crate::table::{MOST_TRIES, index_attributes, pause};

/// How the run's lease was released, as JSON; see `leases`.
pub(super) const RELEASE: &str = "x_release";

/// A run as an item. The index has it among the unfinished ones until it is Ended and reported.
pub(super) fn run_item(run: &Run) -> Result<Item, RegisterError> {
    let mut item = to_item(&keys::run(&run.run_id), run)?;
    let is_finished = run.state == RunState::Ended && run.reported;
    let kind = if is_finished { IndexKind::EndedRun } else { IndexKind::UnfinishedRun };
    item.extend(index_attributes(kind, keys::sortable_time(run.opened_at)));
    Ok(item)
}

pub(super) fn unknown_run(run_id: &RunId) -> RegisterError {
    RegisterError::Unknown { kind: "run", id: run_id.to_string() }
}

fn wrong_state(run: &Run, needed: &'static str) -> RegisterError {
    RegisterError::WrongState { run_id: run.run_id.clone(), state: run.state, needed }
}

/// Sets the ending of a run that has none. The outcome and its cause are one fact.
fn end_with(run: &mut Run, outcome: Option<Outcome>, cause: Option<String>) -> bool {
    if run.outcome.is_some() || outcome.is_none() {
        return false;
    }
    run.outcome = outcome;
    run.cause = cause;
    true
}

impl Register {
    /// Records a run once, as Open. Answers with the run as it is stored.
    ///
    /// # Errors
    /// [`RegisterError::Conflict`] when the id belongs to a run of another flow or machine;
    /// [`RegisterError::Invalid`] when the run to be opened is not Open.
    pub async fn open_run(&self, run: &Run) -> Result<Run, RegisterError> {
        if run.state != RunState::Open {
            return Err(RegisterError::Invalid(format!(
                "run {} cannot be opened as {:?}",
                run.run_id, run.state
            )));
        }
        let first = Run { version: 1, ..run.clone() };
        if self.table.put(run_item(&first)?, Expression::absent()).send().await? {
            return Ok(first);
        }
        let stored = self.run(&run.run_id).await?.ok_or_else(|| unknown_run(&run.run_id))?;
        if stored.flow != run.flow || stored.machine != run.machine {
            return Err(RegisterError::Conflict { what: format!("run {}", run.run_id) });
        }
        Ok(stored)
    }

    /// A run.
    pub async fn run(&self, run_id: &RunId) -> Result<Option<Run>, RegisterError> {
        let key = keys::run(run_id);
        self.table.get(&key).await?.map(|item| from_item(&key, item)).transpose()
    }

    /// Closes a run: from here on it can write no intent and register nothing. The first close and the first outcome
    /// win.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when there is no such run.
    pub async fn close_run(
        &self,
        run_id: &RunId,
        outcome: Option<Outcome>,
        cause: Option<String>,
        now: Timestamp,
    ) -> Result<Run, RegisterError> {
        self.change_run(run_id, |run| {
            let ended = end_with(run, outcome, cause.clone());
            if run.state != RunState::Open {
                return Ok(ended);
            }
            run.state = RunState::Closed;
            run.closed_at = Some(now);
            Ok(true)
        })
        .await
    }

    /// Records how a run ends, unless that is recorded already.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when there is no such run.
    pub async fn set_outcome(
        &self,
        run_id: &RunId,
        outcome: Outcome,
        cause: Option<String>,
    ) -> Result<Run, RegisterError> {
        self.change_run(run_id, |run| Ok(end_with(run, Some(outcome), cause.clone()))).await
    }

    /// Records that the provider holds nothing of a closed run. The first time counts.
    ///
    /// # Errors
    /// [`RegisterError::WrongState`] when the run is Open: it may be making something just now.
    pub async fn note_empty_find(&self, run_id: &RunId, now: Timestamp) -> Result<Run, RegisterError> {
        self.change_run(run_id, |run| match run.state {
            RunState::Open => Err(wrong_state(run, "and an empty find counts only once it is closed")),
            RunState::Closed if run.first_empty_at.is_none() => {
                run.first_empty_at = Some(now);
                Ok(true)
            }
            _ => Ok(false),
        })
        .await
    }

    /// Records that the provider does hold something of a run after all, so that counting begins again.
    ///
    /// # Errors
    /// [`RegisterError::WrongState`] when the run is Ended: what was found must not exist.
    pub async fn note_not_empty(&self, run_id: &RunId) -> Result<Run, RegisterError> {
        self.change_run(run_id, |run| match run.state {
            RunState::Ended => Err(wrong_state(run, "so nothing of it may be left")),
            _ => Ok(run.first_empty_at.take().is_some()),
        })
        .await
    }

    /// Ends a closed run at the second empty find. That it came late enough after the last intent is for the caller to
    /// know, who knows the provider.
    ///
    /// # Errors
    /// [`RegisterError::WrongState`] when it is Open, or has written intents and was not found empty before `now`.
    pub async fn end_run(&self, run_id: &RunId, now: Timestamp) -> Result<Run, RegisterError> {
        self.change_run(run_id, |run| match run.state {
            RunState::Open => Err(wrong_state(run, "and only a closed run can end")),
            RunState::Closed
                if run.last_intent_at.is_some() && run.first_empty_at.is_none_or(|at| at > now) =>
            {
                Err(wrong_state(run, "and it was never found before to have left nothing"))
            }
            RunState::Closed => {
                run.state = RunState::Ended;
                Ok(true)
            }
            RunState::Ended => Ok(false),
        })
        .await
    }

    /// Records that the run's report is written.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when there is no such run.
    pub async fn mark_reported(&self, run_id: &RunId) -> Result<Run, RegisterError> {
        self.change_run(run_id, |run| Ok(!std::mem::replace(&mut run.reported, true))).await
    }

    /// Runs that are not Ended or not reported, the oldest first. Read from the index, which lags behind: act on them
    /// by conditional writes only.
    pub async fn unfinished_runs(&self) -> Result<Vec<Run>, RegisterError> {
        let items = self.table.index_items(IndexKind::UnfinishedRun).await?;
        items.into_iter().map(|item| from_item(&key_of(&item), item)).collect()
    }

    /// How many refreshes of a service are open. Read from the index, so the limit that it serves is a soft one.
    pub async fn count_builders(&self, service: &ServiceKey) -> Result<u32, RegisterError> {
        // A run without a fence found the lease held and builds nothing.
        let open =
            |run: &&Run| run.state == RunState::Open && run.flow == Flow::RefreshImage && run.fence.is_some();
        let of_service =
            |run: &&Run| run.machine.as_ref().is_some_and(|machine| machine.service() == *service);
        let runs = self.unfinished_runs().await?;
        let count = runs.iter().filter(open).filter(of_service).count();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Reads, changes and replaces a run until nobody came in between. `change` says whether anything is to be written.
    pub(super) async fn change_run(
        &self,
        run_id: &RunId,
        change: impl Fn(&mut Run) -> Result<bool, RegisterError>,
    ) -> Result<Run, RegisterError> {
        let key = keys::run(run_id);
        for tries in 0..MOST_TRIES {
            let item = self.table.get(&key).await?.ok_or_else(|| unknown_run(run_id))?;
            let release = item.get(RELEASE).cloned();
            let mut run: Run = from_item(&key, item)?;
            if !change(&mut run)? {
                return Ok(run);
            }
            let replaced = run.version;
            run.version += 1;
            let mut item = run_item(&run)?;
            item.extend(release.map(|release| (RELEASE.to_owned(), release)));
            let condition = Expression::condition("#version = :replaced").with_number("replaced", replaced);
            if self.table.put(item, condition).send().await? {
                return Ok(run);
            }
            pause(tries).await;
        }
        Err(RegisterError::Contention { doing: "changing a run" })
    }
}
