//! The time of a runner: an epoch, and tokio's clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time as *epoch plus what has passed on tokio's clock*, so that paused time is virtual time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that shows `epoch` at this moment.
    pub(crate) fn starting_at(epoch: Timestamp) -> Self {
        Self { epoch, started: Instant::now() }
    }

    /// The time, cut to milliseconds as Step Functions reports it.
    pub(crate) fn now(&self) -> Timestamp {
        let exact = self.epoch.saturating_add(self.started.elapsed()).unwrap_or(self.epoch);
        Timestamp::from_millisecond(exact.as_millisecond()).unwrap_or(exact)
    }

    /// The instant at which this clock will show `time`; now, when that has passed.
    pub(crate) fn instant_of(&self, time: Timestamp) -> Instant {
        let since_epoch: SignedDuration = time.duration_since(self.epoch);
        self.started + Duration::try_from(since_epoch).unwrap_or(Duration::ZERO)
    }
}

/// A time as it stands in the context object: milliseconds and a `Z`.
pub(crate) fn written(time: Timestamp) -> String {
    format!("{time:.3}")
}
