//! How runs end. Different endings are different facts, and stay apart up to the report.

use serde::{Deserialize, Serialize};

/// The ending of a run. The names are a contract: state machines set and match them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// A refresh: a new image is proven and registered.
    Refreshed,
    /// A refresh: the newest image already holds the newest set and configuration.
    NothingToDo,
    /// A refresh: another run of the same machine is at work and will see to it.
    Coalesced,
    /// A refresh: the same work failed a short time ago; it is tried again later.
    BackingOff,
    /// A refresh: the same work failed three times; a person is asked.
    Quarantined,
    /// A refresh: a limit on builders or spending is reached; the sweep tries again.
    LimitReached,
    /// A refresh: what arrived is refused (signature, place, order, size).
    Refused,
    /// A refresh: the restore was made, and its verification did not hold.
    VerificationFailed,
    /// A recovery: every service serves from a proven image.
    Recovered,
    /// A recovery: some services serve, others do not.
    PartiallyRecovered,
    /// A recovery: a person said no.
    Declined,
    /// A recovery: nobody decided before the deadline.
    TimedOut,
    /// The run did not reach its goal; the report says why.
    Failed,
    /// The run could not clean up by itself; the sweep does, and a person is told.
    LeftForSweep,
}

impl Outcome {
    /// The name, as state machines and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refreshed => "Refreshed",
            Self::NothingToDo => "NothingToDo",
            Self::Coalesced => "Coalesced",
            Self::BackingOff => "BackingOff",
            Self::Quarantined => "Quarantined",
            Self::LimitReached => "LimitReached",
            Self::Refused => "Refused",
            Self::VerificationFailed => "VerificationFailed",
            Self::Recovered => "Recovered",
            Self::PartiallyRecovered => "PartiallyRecovered",
            Self::Declined => "Declined",
            Self::TimedOut => "TimedOut",
            Self::Failed => "Failed",
            Self::LeftForSweep => "LeftForSweep",
        }
    }

    /// Whether the run did what it was asked to do, or rightly found that nothing was to be done.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Refreshed | Self::NothingToDo | Self::Coalesced | Self::Recovered)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
