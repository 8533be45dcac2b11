//! Which error a `Retry` or `Catch` entry names, and when the next attempt starts. Decisions only.

use std::time::Duration;

/// Every error.
pub(crate) const ALL: &str = "States.ALL";
/// Every error but a time-out.
pub(crate) const TASK_FAILED: &str = "States.TaskFailed";
/// An attempt ran longer than `TimeoutSeconds`.
pub(crate) const TIMEOUT: &str = "States.Timeout";
/// A task was silent for longer than `HeartbeatSeconds`.
pub(crate) const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";
/// A payload was larger than Step Functions carries.
pub(crate) const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
/// A fault that no `Retry` or `Catch` can answer.
pub(crate) const RUNTIME: &str = "States.Runtime";
/// An expression had no usable value.
pub(crate) const QUERY_EVALUATION_ERROR: &str = "States.QueryEvaluationError";
/// No rule of a Choice held, and it has no default.
pub(crate) const NO_CHOICE_MATCHED: &str = "States.NoChoiceMatched";
/// More children of a distributed Map failed than it tolerates.
pub(crate) const EXCEED_TOLERATED_FAILURE_THRESHOLD: &str = "States.ExceedToleratedFailureThreshold";

/// The reserved names that `ErrorEquals` may hold here. `States.Runtime` is not one of them: nothing catches it.
pub(crate) const RESERVED: [&str; 8] = [
    ALL,
    TASK_FAILED,
    TIMEOUT,
    HEARTBEAT_TIMEOUT,
    DATA_LIMIT_EXCEEDED,
    QUERY_EVALUATION_ERROR,
    NO_CHOICE_MATCHED,
    EXCEED_TOLERATED_FAILURE_THRESHOLD,
];

/// Whether the waits between attempts are spread by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JitterStrategy {
    /// Somewhere between nothing and the computed wait.
    Full,
    /// Exactly the computed wait.
    None,
}

/// One entry of a `Retry` field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retrier {
    pub(crate) error_equals: Vec<String>,
    pub(crate) interval_seconds: u64,
    pub(crate) max_attempts: u32,
    pub(crate) backoff_rate: f64,
    pub(crate) max_delay_seconds: Option<u64>,
    pub(crate) jitter: JitterStrategy,
}

impl Retrier {
    /// The wait before the retry number `retry` (the first is 0) of this retrier, before jitter.
    fn delay(&self, retry: u32) -> Duration {
        let exponent = i32::try_from(retry).unwrap_or(i32::MAX);
        let most = self.max_delay_seconds.unwrap_or(crate::limit::SECONDS);
        let seconds = self.interval_seconds as f64 * self.backoff_rate.powi(exponent);
        Duration::from_secs_f64(seconds.min(most as f64))
    }
}

/// Whether `error` is one of the errors that the names stand for.
pub(crate) fn names_match(names: &[String], error: &str) -> bool {
    names.iter().any(|name| name_matches(name, error))
}

fn name_matches(name: &str, error: &str) -> bool {
    match (name, error) {
        (_, RUNTIME) => false,
        (ALL, DATA_LIMIT_EXCEEDED) => false,
        (ALL, _) => true,
        // A missed heartbeat is a kind of time-out, as AWS's history shows it.
        (TIMEOUT, HEARTBEAT_TIMEOUT) => true,
        (TASK_FAILED, TIMEOUT | HEARTBEAT_TIMEOUT | DATA_LIMIT_EXCEEDED) => false,
        (TASK_FAILED, _) => true,
        (name, error) => name == error,
    }
}

/// How often each retrier of one visit to a state has been used. A new visit starts a new tally.
#[derive(Debug)]
pub(crate) struct RetryTally {
    used: Vec<u32>,
}

/// A decision to try again.
#[derive(Debug, PartialEq)]
pub(crate) struct NextAttempt {
    pub(crate) delay: Duration,
    pub(crate) jitter: JitterStrategy,
}

impl RetryTally {
    /// A tally for this many retriers.
    pub(crate) fn new(retriers: usize) -> Self {
        Self { used: vec![0; retriers] }
    }

    /// The retries so far, of all retriers together.
    pub(crate) fn total(&self) -> u32 {
        self.used.iter().sum()
    }

    /// What the first retrier that names the error says; `None`: no further attempt.
    pub(crate) fn decide(&mut self, retriers: &[Retrier], error: &str) -> Option<NextAttempt> {
        let position = retriers.iter().position(|retrier| names_match(&retrier.error_equals, error))?;
        let retrier = &retriers[position];
        let used = &mut self.used[position];
        if *used >= retrier.max_attempts {
            return None;
        }
        let delay = retrier.delay(*used);
        *used += 1;
        Some(NextAttempt { delay, jitter: retrier.jitter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retrier(names: &[&str], interval: u64, attempts: u32, rate: f64, most: Option<u64>) -> Retrier {
        Retrier {
            error_equals: names.iter().map(ToString::to_string).collect(),
            interval_seconds: interval,
            max_attempts: attempts,
            backoff_rate: rate,
            max_delay_seconds: most,
            jitter: JitterStrategy::None,
        }
    }

    fn delays(retrier: Retrier, error: &str) -> Vec<f64> {
        let mut tally = RetryTally::new(1);
        let retriers = [retrier];
        std::iter::from_fn(|| tally.decide(&retriers, error)).map(|next| next.delay.as_secs_f64()).collect()
    }

    // Amazon States Language specification, "Retriers": interval, then interval times rate, at most MaxAttempts times.
    #[test]
    fn delays_grow_by_the_rate_up_to_the_limit() {
        let cases = [
            (retrier(&["E"], 3, 2, 1.5, None), vec![3.0, 4.5]),
            (retrier(&["E"], 1, 3, 2.0, None), vec![1.0, 2.0, 4.0]),
            (retrier(&["E"], 2, 4, 3.0, Some(10)), vec![2.0, 6.0, 10.0, 10.0]),
            (retrier(&["E"], 5, 3, 1.0, None), vec![5.0, 5.0, 5.0]),
            (retrier(&["E"], 5, 0, 1.0, None), vec![]),
            (retrier(&["F"], 5, 3, 1.0, None), vec![]),
        ];
        for (retrier, expected) in cases {
            assert_eq!(delays(retrier.clone(), "E"), expected, "{retrier:?}");
        }
    }

    // An exponent that overflows must give the cap, not a panic.
    #[test]
    fn a_very_late_retry_waits_for_the_longest_delay() {
        let late = retrier(&["E"], 99_999_999, u32::MAX, 1000.0, None);
        assert_eq!(late.delay(u32::MAX), Duration::from_secs(99_999_999));
    }

    // Specification, "Retriers": the first retrier that matches decides, each with a count of its own.
    #[test]
    fn each_retrier_counts_for_itself() {
        let retriers = [retrier(&["A"], 1, 1, 2.0, None), retrier(&["States.ALL"], 10, 2, 1.0, None)];
        let mut tally = RetryTally::new(2);
        let delays: Vec<_> = ["A", "B", "A"]
            .iter()
            .map(|error| tally.decide(&retriers, error).map(|next| next.delay.as_secs()))
            .collect();
        assert_eq!(delays, [Some(1), Some(10), None]);
        assert_eq!(tally.total(), 2);
    }

    // Specification, appendix A "Predefined Error Codes", and AWS, "Handling errors", error names.
    #[test]
    fn names_stand_for_errors() {
        let cases = [
            ("A", "A", true),
            ("A", "B", false),
            ("A", "a", false),
            (ALL, "A", true),
            (ALL, TIMEOUT, true),
            (ALL, HEARTBEAT_TIMEOUT, true),
            (ALL, QUERY_EVALUATION_ERROR, true),
            (ALL, DATA_LIMIT_EXCEEDED, false),
            (ALL, RUNTIME, false),
            (RUNTIME, RUNTIME, false),
            (DATA_LIMIT_EXCEEDED, DATA_LIMIT_EXCEEDED, true),
            (TASK_FAILED, "A", true),
            (TASK_FAILED, TASK_FAILED, true),
            (TASK_FAILED, TIMEOUT, false),
            (TASK_FAILED, HEARTBEAT_TIMEOUT, false),
            (TASK_FAILED, RUNTIME, false),
            (TIMEOUT, TIMEOUT, true),
            (TIMEOUT, HEARTBEAT_TIMEOUT, true),
            (HEARTBEAT_TIMEOUT, TIMEOUT, false),
            (HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT, true),
        ];
        for (name, error, expected) in cases {
            assert_eq!(names_match(&[name.to_owned()], error), expected, "{name} and {error}");
        }
    }
}
