//! Waiting for what others do.

use std::time::{Duration, Instant};

/// Looks again and again until there is something to see. The limit only ends a test that would hang for ever.
///
/// # Panics
/// When there is nothing after four minutes.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    const LIMIT: Duration = Duration::from_secs(240);
    const PAUSE: Duration = Duration::from_millis(300);
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < LIMIT, "waited {LIMIT:?} in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}
