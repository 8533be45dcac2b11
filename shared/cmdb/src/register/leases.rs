//! The state of a machine, and the lease by which one run at a time refreshes it.
//!
//! ```text
//!            take_lease (fence + 1)                  release_lease, `wanted` as seen
//!  nobody ───────────────────────────► held by run ───────────────────────────────────► nobody
//!                                        ▲     │
//!                take_lease over a stale │     │ release_lease, `wanted` has moved
//!                lease whose run is      │     ▼ (fence + 1, one transaction)
//!                closed (fence + 1)      └── held by the run's successor, recorded as Open
//! ```
//! Time alone never moves a lease. `wanted` is counted up *before* the lease is tried, so whoever comes while it is
//! held is seen at the release.

use jiff::{SignedDuration, Timestamp};
use rekindle_domain::{Fence, Flow, MachineKey, Run, RunId, RunState};

use super::runs::{RELEASE, run_item, unknown_run};
use crate::attributes::{attribute, from_item, text_of, unreadable};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::{Lease, MachineState, Released, Taken};
use crate::register::Register;
use crate::table::{MOST_TRIES, pause};

/// Where the machine stands in the transactions below.
const MACHINE: usize = 0;
/// Where the run of a stale lease stands when a lease is taken over.
const STALE_RUN: usize = 2;

impl Register {
    /// The state of a machine, read consistently. A machine that nothing is known of is at its beginning.
    pub async fn machine_state(&self, machine: &MachineKey) -> Result<MachineState, RegisterError> {
        let key = keys::machine_state(machine);
        let item = self.table.get(&key).await?;
        item.map_or_else(|| Ok(MachineState::default()), |item| from_item(&key, item))
    }

    /// Says that a machine should be looked at, and answers with the counter. Comes before [`Register::take_lease`].
    pub async fn announce_work(&self, machine: &MachineKey) -> Result<u64, RegisterError> {
        let key = keys::machine_state(machine);
        let count = Expression::update(
            "SET #wanted = if_not_exists(#wanted, :zero) + :one",
            "attribute_not_exists(#wanted) OR #wanted >= :zero",
        )
        .with_number("zero", 0)
        .with_number("one", 1);
        let item = self.table.update(&key, &count).await?;
        let item = item.ok_or(RegisterError::Contention { doing: "announcing work" })?;
        Ok(from_item::<MachineState>(&key, item)?.wanted)
    }

    /// Takes the lease of the run's machine, and records the run as Open. Taken again by the same run, it is found as
    /// already held; so is a lease that was handed over to the run. `stale` is a lease that may be taken over if its
    /// run is closed.
    ///
    /// # Errors
    /// [`RegisterError::LeaseHeld`] when another run has it, [`RegisterError::RunClosed`] when this run is closed,
    /// [`RegisterError::FenceLost`] when this run had the lease and lost it.
    pub async fn take_lease(&self, run: &Run, stale: Option<&Lease>) -> Result<Taken, RegisterError> {
        let Some(machine) = &run.machine else {
            return Err(RegisterError::Invalid(format!("run {} has no machine to lease", run.run_id)));
        };
        for tries in 0..MOST_TRIES {
            let state = self.machine_state(machine).await?;
            let stored = self.run(&run.run_id).await?;
            if let Some(stored) = &stored {
                may_take(stored, machine, &state)?;
            }
            match &state.lease {
                Some(lease) if lease.run_id == run.run_id => {
                    if let Some(taken) = self.found_held(lease, &state, stored).await? {
                        return Ok(taken);
                    }
                }
                Some(lease) if stale != Some(lease) => {
                    return Err(RegisterError::LeaseHeld { lease: lease.clone() });
                }
                _ => {
                    let attempt = Attempt { machine, state: &state, stored, run };
                    if let Some(taken) = self.try_lease(attempt).await? {
                        return Ok(taken);
                    }
                }
            }
            pause(tries).await;
        }
        Err(RegisterError::Contention { doing: "taking a lease" })
    }

    /// The lease is the run's own. A run that it was handed over to has not seen `wanted` yet: it does so now, once.
    async fn found_held(
        &self,
        lease: &Lease,
        state: &MachineState,
        stored: Option<Run>,
    ) -> Result<Option<Taken>, RegisterError> {
        let run = stored.ok_or_else(|| unknown_run(&lease.run_id))?;
        if run.wanted_seen.is_some() {
            return Ok(Some(Taken { lease: lease.clone(), run }));
        }
        let key = keys::run(&run.run_id);
        let see = Expression::update(
            "SET #wanted_seen = :wanted, #version = #version + :one",
            "#state = :open AND attribute_not_exists(#wanted_seen)",
        )
        .with_number("wanted", state.wanted)
        .with_number("one", 1)
        .with_text("open", "Open");
        match self.table.update(&key, &see).await? {
            Some(item) => Ok(Some(Taken { lease: lease.clone(), run: from_item(&key, item)? })),
            None => Ok(None),
        }
    }

    /// One try at a lease that looked free; nothing when somebody came in between.
    async fn try_lease(&self, attempt: Attempt<'_>) -> Result<Option<Taken>, RegisterError> {
        let Attempt { machine, state, stored, run } = attempt;
        let fence = Fence(state.fence.0 + 1);
        let lease = Lease { run_id: run.run_id.clone(), fence, taken_at: run.opened_at };
        let version = stored.as_ref().map(|stored| stored.version);
        let taking = Run {
            fence: Some(fence),
            wanted_seen: Some(state.wanted),
            version: version.unwrap_or(0) + 1,
            ..stored.unwrap_or_else(|| run.clone())
        };
        let run_condition = match version {
            None => Expression::absent(),
            Some(version) => Expression::condition("#version = :version").with_number("version", version),
        };
        let mut transaction = self
            .table
            .transaction()
            .update(&keys::machine_state(machine), taking_of(machine, state, &lease)?)
            .put(run_item(&taking)?, run_condition);
        if let Some(stale) = &state.lease {
            transaction = transaction.check(&keys::run(&stale.run_id), closed());
        }
        match (transaction.send().await?, &state.lease) {
            (Ok(()), _) => Ok(Some(Taken { lease, run: taking })),
            // The machine was as it was read, so the stale run is what stands in the way: it is not closed.
            (Err(unmet), Some(stale)) if unmet.at(STALE_RUN) && !unmet.at(MACHINE) => {
                Err(RegisterError::LeaseHeld { lease: stale.clone() })
            }
            (Err(_), _) => Ok(None),
        }
    }

    /// Gives the lease back. When work was announced since the run saw the counter, the lease and a new Open run go to
    /// the run's successor in the same transaction, so that the work is not lost even if nobody starts the successor's
    /// execution: the sweep finds the run. The same call again answers the same.
    pub async fn release_lease(&self, run_id: &RunId, now: Timestamp) -> Result<Released, RegisterError> {
        let key = keys::run(run_id);
        for tries in 0..MOST_TRIES {
            let Some(item) = self.table.get(&key).await? else {
                return Ok(Released::NotHeld);
            };
            if let Some(answer) = text_of(&item, RELEASE) {
                return serde_json::from_str(answer).map_err(|error| unreadable(&key, error));
            }
            let run: Run = from_item(&key, item)?;
            let (Some(machine), Some(fence)) = (&run.machine, run.fence) else {
                return Ok(Released::NotHeld);
            };
            let state = self.machine_state(machine).await?;
            if !state.lease.as_ref().is_some_and(|lease| lease.run_id == *run_id && lease.fence == fence) {
                // Perhaps this very call is at work elsewhere and has just released it: then the next look says so.
                if tries == 0 {
                    continue;
                }
                return Ok(Released::NotHeld);
            }
            let release = Release { run: &run, machine, fence, state: &state };
            let answer = if run.wanted_seen == Some(state.wanted) {
                self.let_go(&release).await?
            } else {
                self.hand_over(&release, now).await?
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
            pause(tries).await;
        }
        Err(RegisterError::Contention { doing: "releasing a lease" })
    }

    async fn let_go(&self, release: &Release<'_>) -> Result<Option<Released>, RegisterError> {
        let answer = Released::Released;
        let wanted = release.state.wanted;
        let as_seen = if wanted == 0 { "attribute_not_exists(#wanted)" } else { "#wanted = :wanted" };
        let mut machine = Expression::update("REMOVE #lease", format!("{LEASE_IS_MINE} AND {as_seen}"))
            .with_text("run", release.run.run_id.as_str())
            .with_number("fence", release.fence.0);
        if wanted > 0 {
            machine = machine.with_number("wanted", wanted);
        }
        let sent = self
            .table
            .transaction()
            .update(&keys::machine_state(release.machine), machine)
            .update(&keys::run(&release.run.run_id), noting(&release.run.run_id, &answer)?)
            .send()
            .await?;
        Ok(sent.is_ok().then_some(answer))
    }

    async fn hand_over(
        &self,
        release: &Release<'_>,
        now: Timestamp,
    ) -> Result<Option<Released>, RegisterError> {
        let Release { run, machine, fence, .. } = release;
        let successor = successor_of(run, Fence(fence.0 + 1), now);
        let machine_key = keys::machine_state(machine);
        let lease = Lease { run_id: successor.run_id.clone(), fence: Fence(fence.0 + 1), taken_at: now };
        let give = Expression::update("SET #lease = :lease, #fence = :next", LEASE_IS_MINE)
            .with_text("run", run.run_id.as_str())
            .with_number("fence", fence.0)
            .with_number("next", lease.fence.0)
            .with("lease", attribute(&lease).map_err(|error| unreadable(&machine_key, error))?);
        let answer =
            Released::HandedOver { successor: successor.run_id.clone(), machine: (*machine).clone() };
        let sent = self
            .table
            .transaction()
            .update(&machine_key, give)
            .update(&keys::run(&run.run_id), noting(&run.run_id, &answer)?)
            .put(run_item(&successor)?, Expression::absent())
            .send()
            .await?;
        match sent {
            Ok(()) => Ok(Some(answer)),
            Err(unmet) if unmet.only(2) => {
                Err(RegisterError::Conflict { what: format!("run {}", successor.run_id) })
            }
            Err(_) => Ok(None),
        }
    }

    /// Says which condition of a write under a lease did not hold, by reading again who holds what.
    pub(super) async fn lost(
        &self,
        run_id: &RunId,
        machine: &MachineKey,
    ) -> Result<RegisterError, RegisterError> {
        let run = self.run(run_id).await?.ok_or_else(|| unknown_run(run_id))?;
        if run.state != RunState::Open {
            return Ok(RegisterError::RunClosed { run_id: run_id.clone() });
        }
        let holder = self.machine_state(machine).await?.lease.map(Box::new);
        Ok(RegisterError::FenceLost { run_id: run_id.clone(), machine: machine.clone(), holder })
    }
}

struct Attempt<'a> {
    machine: &'a MachineKey,
    state: &'a MachineState,
    stored: Option<Run>,
    run: &'a Run,
}

struct Release<'a> {
    run: &'a Run,
    machine: &'a MachineKey,
    fence: Fence,
    state: &'a MachineState,
}

/// The condition that a machine's lease is the one of `:run` and `:fence`.
pub(super) const LEASE_IS_MINE: &str = "#lease.#run_id = :run AND #lease.#fence = :fence";

/// The condition that a run is closed.
fn closed() -> Expression {
    Expression::condition("#state IN (:closed, :ended)")
        .with_text("closed", "Closed")
        .with_text("ended", "Ended")
}

/// Whether a run that is recorded already may take the lease.
fn may_take(stored: &Run, machine: &MachineKey, state: &MachineState) -> Result<(), RegisterError> {
    let run_id = stored.run_id.clone();
    if stored.machine.as_ref() != Some(machine) {
        return Err(RegisterError::Conflict { what: format!("run {run_id}") });
    }
    if stored.state != RunState::Open {
        return Err(RegisterError::RunClosed { run_id });
    }
    let holds = state.lease.as_ref().is_some_and(|lease| lease.run_id == run_id);
    if stored.fence.is_some() && !holds {
        return Err(RegisterError::FenceLost {
            run_id,
            machine: machine.clone(),
            holder: state.lease.clone().map(Box::new),
        });
    }
    Ok(())
}

/// Sets the lease, where it is still as it was read.
fn taking_of(machine: &MachineKey, state: &MachineState, lease: &Lease) -> Result<Expression, RegisterError> {
    let seen = if state.fence.0 == 0 { "attribute_not_exists(#fence)" } else { "#fence = :seen" };
    let free = match &state.lease {
        None => format!("attribute_not_exists(#lease) AND {seen}"),
        Some(_) => format!("#lease.#run_id = :stale AND {seen}"),
    };
    let key = keys::machine_state(machine);
    let mut expression = Expression::update("SET #lease = :lease, #fence = :next", free)
        .with("lease", attribute(lease).map_err(|error| unreadable(&key, error))?)
        .with_number("next", lease.fence.0);
    if state.fence.0 > 0 {
        expression = expression.with_number("seen", state.fence.0);
    }
    if let Some(stale) = &state.lease {
        expression = expression.with_text("stale", stale.run_id.as_str());
    }
    Ok(expression)
}

/// Notes on the run how its lease was released, so that the same call again answers the same.
fn noting(run_id: &RunId, answer: &Released) -> Result<Expression, RegisterError> {
    let text = serde_json::to_string(answer).map_err(|error| unreadable(&keys::run(run_id), error))?;
    let expression = Expression::update(
        "SET #x_release = :answer, #version = #version + :one",
        "attribute_exists(#pk) AND attribute_not_exists(#x_release)",
    );
    Ok(expression.with_text("answer", text).with_number("one", 1))
}

/// The run that takes over. It sees `wanted` when it takes the lease itself, not before: so it covers what is announced
/// until then, and its own announcement does not make it hand over again for ever.
fn successor_of(run: &Run, fence: Fence, now: Timestamp) -> Run {
    let allowed = run.deadline.duration_since(run.opened_at).max(SignedDuration::ZERO);
    Run {
        run_id: run.run_id.successor(),
        flow: Flow::RefreshImage,
        machine: run.machine.clone(),
        fence: Some(fence),
        wanted_seen: None,
        plan_id: None,
        state: RunState::Open,
        opened_at: now,
        deadline: now.checked_add(allowed).unwrap_or(Timestamp::MAX),
        last_intent_at: None,
        closed_at: None,
        first_empty_at: None,
        outcome: None,
        cause: None,
        reported: false,
        version: 1,
    }
}
