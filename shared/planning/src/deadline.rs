//! How long work may take, from its size. The state machine's TimeoutSeconds is only a ceiling above these.

use jiff::{SignedDuration, Timestamp};
use rekindle_domain::{Bytes, JobWork};

/// What every job may take before its size counts: an engine that starts, a clean stop, a slow disk.
const BASE: SignedDuration = SignedDuration::from_mins(10);
/// The slowest restore that is still waited for, in stored bytes per second. SQL restores were measured at 12 MB/s
/// of compressed dump on two busy cores; a quarter of that is a machine in trouble, not a slow one.
const SLOWEST_RESTORE_BYTES_PER_SECOND: u64 = 3_000_000;
/// How often an agent reports that it is alive, in seconds. Three missed reports are the state's heartbeat time-out.
pub const HEARTBEAT_SECONDS: u32 = 20;

/// When the agent has to give up on a job that is posted now.
pub fn job_deadline(work: &JobWork, stored: Bytes, now: Timestamp) -> Timestamp {
    let by_size = match work {
        JobWork::TransferAndRestore { .. } | JobWork::Verify { .. } => SignedDuration::from_secs(
            i64::try_from(stored.0 / SLOWEST_RESTORE_BYTES_PER_SECOND).unwrap_or(i64::MAX),
        ),
        _ => SignedDuration::ZERO,
    };
    now.checked_add(BASE).and_then(|base| base.checked_add(by_size)).unwrap_or(Timestamp::MAX)
}

/// When the sweep ends a run that was opened now, whatever it is doing: as late as the state machines' own
/// TimeoutSeconds, which not every engine enforces.
pub fn run_deadline(now: Timestamp) -> Timestamp {
    now.checked_add(SignedDuration::from_hours(48)).unwrap_or(Timestamp::MAX)
}

/// When an image that was asked for at `asked_at` is given up: EBS snapshots of a terabyte were seen to take hours.
pub fn image_deadline(asked_at: Timestamp) -> Timestamp {
    asked_at.checked_add(SignedDuration::from_hours(6)).unwrap_or(Timestamp::MAX)
}
