//! Whether work that is known to be due may begin now.

use jiff::{SignedDuration, Timestamp};
use rekindle_domain::Outcome;

/// After so many failures of the same work a person is asked.
pub const MOST_FAILURES: u32 = 3;

/// What is known of earlier attempts at exactly this work: set, image, configuration and recipe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastFailures {
    /// How many runs failed at it.
    pub count: u32,
    /// Not before this instant.
    pub next_try_at: Option<Timestamp>,
    /// The cause of the newest failure.
    pub cause: String,
}

/// Whether work may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted,
    /// It may not.
    Refused {
        /// BackingOff, Quarantined or LimitReached.
        outcome: Outcome,
        /// Why, and what happens next.
        cause: String,
    },
}

/// Decides whether work may begin.
pub fn admit(past: &PastFailures, running_builders: u32, builder_limit: u32, now: Timestamp) -> Admission {
    if past.count >= MOST_FAILURES {
        return Admission::Refused {
            outcome: Outcome::Quarantined,
            cause: format!(
                "this set failed {} and is set aside; the last cause was: {}. The previous image stays current. \
                 Take a new full backup, or approve another try after the cause is mended",
                times(past.count),
                past.cause
            ),
        };
    }
    if let Some(next_try_at) = past.next_try_at.filter(|next| *next > now) {
        return Admission::Refused {
            outcome: Outcome::BackingOff,
            cause: format!(
                "this set failed {}, the last time because: {}. It is tried again after {next_try_at:.0}",
                times(past.count),
                past.cause
            ),
        };
    }
    if running_builders >= builder_limit {
        return Admission::Refused {
            outcome: Outcome::LimitReached,
            cause: format!(
                "{running_builders} builders of this service are at work and {builder_limit} are allowed; the sweep tries again"
            ),
        };
    }
    Admission::Admitted
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// How long to wait after the n-th failure of the same work: long enough for a passing fault to pass, short enough
/// that a daily backup is tried three times before the next one is due.
pub fn pause_after(failures: u32) -> SignedDuration {
    match failures {
        0 | 1 => SignedDuration::from_mins(5),
        2 => SignedDuration::from_mins(30),
        _ => SignedDuration::from_hours(24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn outcome(past: &PastFailures, running: u32, now: Timestamp) -> Option<Outcome> {
        match admit(past, running, 2, now) {
            Admission::Admitted => None,
            Admission::Refused { outcome, .. } => Some(outcome),
        }
    }

    #[test]
    fn work_waits_after_a_failure_and_is_set_aside_after_three() {
        let failed =
            |count| PastFailures { count, next_try_at: Some(at(100)), cause: "a flipped byte".into() };
        assert_eq!(outcome(&PastFailures::default(), 0, at(0)), None);
        assert_eq!(outcome(&failed(1), 0, at(99)), Some(Outcome::BackingOff));
        assert_eq!(outcome(&failed(2), 0, at(100)), None);
        assert_eq!(outcome(&failed(3), 0, at(1000)), Some(Outcome::Quarantined));
    }

    #[test]
    fn a_service_runs_no_more_builders_than_it_may() {
        assert_eq!(outcome(&PastFailures::default(), 1, at(0)), None);
        assert_eq!(outcome(&PastFailures::default(), 2, at(0)), Some(Outcome::LimitReached));
    }
}
