//! What the sweep does about a run that nobody brought to its end: `Catch` cannot see an execution that was stopped
//! or that timed out, and events can be lost.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rekindle_domain::{Flow, JobWork, Run, RunState};

/// How often the sweep comes, unless its host is told otherwise.
///
/// A callback that was lost is sent again by the next sweep, and that has to be before the state gives its agent up: two
/// sweeps fit into the shortest HeartbeatSeconds of the state machines. A minute is also the shortest schedule that AWS
/// offers, and costs about two cents a month there.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How long a state waits for a sign of an agent that has a job: HeartbeatSeconds of these states.
pub const LONGEST_SILENCE_AT_WORK: SignedDuration = SignedDuration::from_mins(2);

/// How long a state waits for an instance that boots, of which nothing is heard until it is there: HeartbeatSeconds of
/// the states that wait for a greeting.
pub const LONGEST_SILENT_BOOT: SignedDuration = SignedDuration::from_mins(15);

/// So much longer waits the sweep: the engine's own heartbeat time-out comes first, where the engine has one.
const SILENCE_MARGIN: SignedDuration = SignedDuration::from_mins(2);

/// How the run's execution stands, as the workflow engine says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionStanding {
    /// At work.
    Running,
    /// Ended, in whatever way.
    Terminal,
    /// Never started, or forgotten.
    Unknown,
}

/// The one thing to do about a run now. The next sweep does the next thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepAction {
    /// It is at work, or it is too early for a proof.
    Leave,
    /// Its execution was never started (a lease that was handed over): start it.
    StartExecution,
    /// Its deadline has passed: stop the execution.
    StopExecution,
    /// Its execution ended without closing it: close it and destroy what it left.
    CloseAndDestroy,
    /// It is closed and may have left something: look, destroy, and note what was found.
    Destroy,
    /// Nothing of it is left, and its lease may be released; write the report that it owes.
    Report,
}

/// A run that was opened by a hand-over and has no execution after this long was forgotten in a crash.
const START_GRACE: SignedDuration = SignedDuration::from_mins(2);

/// Decides what is due for a run that is not both ended and reported.
pub fn sweep_action(
    run: &Run,
    execution: ExecutionStanding,
    keeps_replicas: bool,
    settling_time: Duration,
    now: Timestamp,
) -> SweepAction {
    match (run.state, execution) {
        (RunState::Open, ExecutionStanding::Running) if now > run.deadline && !keeps_replicas => {
            SweepAction::StopExecution
        }
        (_, ExecutionStanding::Running) => SweepAction::Leave,
        (RunState::Open, ExecutionStanding::Unknown) if is_younger_than(run.opened_at, START_GRACE, now) => {
            SweepAction::Leave
        }
        (RunState::Open, ExecutionStanding::Unknown)
            // Only a refresh can be started again: what a recovery was asked for died with its execution.
            if run.flow == Flow::RefreshImage && run.outcome.is_none() && run.last_intent_at.is_none() =>
        {
            SweepAction::StartExecution
        }
        // The replicas of an open recovery are what it was for; only a person ends it.
        (RunState::Open, _) if keeps_replicas => owed_report(run),
        (RunState::Open, _) => SweepAction::CloseAndDestroy,
        (RunState::Closed, _) if is_settled(run, settling_time, now) => SweepAction::Destroy,
        (RunState::Closed, _) => owed_report(run),
        (RunState::Ended, _) => owed_report(run),
    }
}

fn owed_report(run: &Run) -> SweepAction {
    if run.reported { SweepAction::Leave } else { SweepAction::Report }
}

/// Whether another look at a closed run is worth it: none was empty yet, or the provider has had time to show what it
/// hid. It hides what was just made, and what lost its owner when that was destroyed; so the time counts from the last
/// intent and from the first empty find alike.
pub fn is_settled(run: &Run, settling_time: Duration, now: Timestamp) -> bool {
    let Ok(settling) = SignedDuration::try_from(settling_time) else { return false };
    match (run.first_empty_at, run.last_intent_at) {
        (None, _) | (_, None) => true,
        (Some(empty), Some(intent)) => !is_younger_than(empty.max(intent), settling, now),
    }
}

/// When an agent that owes an outcome was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignsOfLife {
    /// When its job was posted: nothing can be heard about it before.
    pub posted_at: Timestamp,
    /// When it took the job.
    pub taken_at: Option<Timestamp>,
    /// When it last said that it goes on.
    pub last_heartbeat_at: Option<Timestamp>,
    /// When it last said that it had started.
    pub greeted_at: Option<Timestamp>,
}

impl SignsOfLife {
    fn last(&self) -> Timestamp {
        let later = [self.taken_at, self.last_heartbeat_at, self.greeted_at];
        later.into_iter().flatten().fold(self.posted_at, Timestamp::max)
    }
}

/// Since when an agent that owes an outcome is silent; none while that is not too long. The workflow engine should have
/// noticed long before: this is for engines that never fire a heartbeat time-out.
pub fn silent_since(work: &JobWork, signs: &SignsOfLife, now: Timestamp) -> Option<Timestamp> {
    let ceiling = match work {
        JobWork::Boot => LONGEST_SILENT_BOOT,
        _ => LONGEST_SILENCE_AT_WORK,
    };
    let last = signs.last();
    (!is_younger_than(last, ceiling + SILENCE_MARGIN, now)).then_some(last)
}

fn is_younger_than(instant: Timestamp, age: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(instant) < age
}

#[cfg(test)]
mod tests {
    use rekindle_domain::{Outcome, RunId};

    use super::*;

    const SETTLING: Duration = Duration::from_secs(600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn run(state: RunState) -> Run {
        Run {
            run_id: RunId::mint(),
            flow: Flow::RefreshImage,
            machine: None,
            fence: None,
            wanted_seen: None,
            plan_id: None,
            state,
            opened_at: at(0),
            deadline: at(10_000),
            last_intent_at: Some(at(100)),
            closed_at: None,
            first_empty_at: None,
            outcome: None,
            cause: None,
            reported: false,
            version: 1,
        }
    }

    #[test]
    fn what_works_is_left_alone_until_its_deadline() {
        let open = run(RunState::Open);
        assert_eq!(
            sweep_action(&open, ExecutionStanding::Running, false, SETTLING, at(9_999)),
            SweepAction::Leave
        );
        assert_eq!(
            sweep_action(&open, ExecutionStanding::Running, false, SETTLING, at(10_001)),
            SweepAction::StopExecution
        );
    }

    #[test]
    fn a_run_whose_execution_died_is_closed_and_cleaned() {
        for execution in [ExecutionStanding::Terminal, ExecutionStanding::Unknown] {
            assert_eq!(
                sweep_action(&run(RunState::Open), execution, false, SETTLING, at(1_000)),
                SweepAction::CloseAndDestroy
            );
        }
    }

    #[test]
    fn a_successor_that_was_never_started_is_started() {
        let handed_over = Run { last_intent_at: None, ..run(RunState::Open) };
        assert_eq!(
            sweep_action(&handed_over, ExecutionStanding::Unknown, false, SETTLING, at(60)),
            SweepAction::Leave
        );
        assert_eq!(
            sweep_action(&handed_over, ExecutionStanding::Unknown, false, SETTLING, at(600)),
            SweepAction::StartExecution
        );
    }

    #[test]
    fn a_recovery_that_died_before_it_made_anything_is_closed() {
        let recovery = Run { flow: Flow::Recover, last_intent_at: None, ..run(RunState::Open) };
        assert_eq!(
            sweep_action(&recovery, ExecutionStanding::Unknown, false, SETTLING, at(600)),
            SweepAction::CloseAndDestroy
        );
    }

    #[test]
    fn the_second_look_comes_no_sooner_than_the_settling_time_after_the_last_intent_and_the_first_look() {
        let closed = Run {
            first_empty_at: Some(at(150)),
            reported: true,
            outcome: Some(Outcome::Refreshed),
            ..run(RunState::Closed)
        };
        let action = |now| sweep_action(&closed, ExecutionStanding::Terminal, false, SETTLING, at(now));
        assert_eq!(action(749), SweepAction::Leave);
        assert_eq!(action(750), SweepAction::Destroy);
    }

    #[test]
    fn the_replicas_of_an_open_recovery_are_never_swept() {
        let recovery = Run { flow: Flow::Recover, ..run(RunState::Open) };
        assert_eq!(
            sweep_action(&recovery, ExecutionStanding::Terminal, true, SETTLING, at(1_000_000)),
            SweepAction::Report
        );
        let reported = Run { reported: true, ..recovery };
        assert_eq!(
            sweep_action(&reported, ExecutionStanding::Terminal, true, SETTLING, at(1_000_000)),
            SweepAction::Leave
        );
    }

    #[test]
    fn a_dead_run_owes_its_report() {
        assert_eq!(
            sweep_action(&run(RunState::Ended), ExecutionStanding::Terminal, false, SETTLING, at(1)),
            SweepAction::Report
        );
    }
    const POSTED: SignsOfLife = SignsOfLife {
        posted_at: Timestamp::UNIX_EPOCH,
        taken_at: None,
        last_heartbeat_at: None,
        greeted_at: None,
    };

    #[test]
    fn an_agent_is_silent_when_the_engine_should_have_noticed_long_ago() {
        assert_eq!(silent_since(&JobWork::Seal, &POSTED, at(239)), None);
        assert_eq!(silent_since(&JobWork::Seal, &POSTED, at(240)), Some(at(0)));
        assert_eq!(silent_since(&JobWork::Boot, &POSTED, at(1_019)), None);
        assert_eq!(silent_since(&JobWork::Boot, &POSTED, at(1_020)), Some(at(0)));
    }

    #[test]
    fn the_latest_sign_of_life_counts() {
        for signs in [
            SignsOfLife { posted_at: at(100), ..POSTED },
            SignsOfLife { taken_at: Some(at(100)), ..POSTED },
            SignsOfLife { taken_at: Some(at(10)), last_heartbeat_at: Some(at(100)), ..POSTED },
            SignsOfLife { greeted_at: Some(at(100)), last_heartbeat_at: Some(at(50)), ..POSTED },
        ] {
            assert_eq!(silent_since(&JobWork::Activate, &signs, at(339)), None, "{signs:?}");
            assert_eq!(silent_since(&JobWork::Activate, &signs, at(340)), Some(at(100)), "{signs:?}");
        }
    }

    #[test]
    fn the_engine_comes_first_by_two_sweeps() {
        assert!(SILENCE_MARGIN.unsigned_abs() >= 2 * SWEEP_INTERVAL);
    }
}
