//! Waiting for what the kernel does in its own time.

use std::time::{Duration, Instant};

/// A busy machine may need this long for what takes a moment on any other.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until it is so, for as long as may be expected; gives whether it is.
#[expect(clippy::disallowed_methods, reason = "there are no tasks here that could be blocked")]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
