//! The time, which a test can move forward.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use rekindle_step::Clock;

/// The machine's clock, and as much more as a test says. Never less: agents go by their own clock.
#[derive(Default)]
pub struct MovableClock {
    ahead: Mutex<SignedDuration>,
}

impl MovableClock {
    /// Lets this much time pass at once.
    pub fn advance(&self, time: SignedDuration) {
        *self.ahead.lock().unwrap() += time;
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + *self.ahead.lock().unwrap()
    }
}
