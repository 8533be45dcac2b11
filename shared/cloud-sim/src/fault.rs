//! What goes wrong on demand.

use std::fmt;
use std::time::Duration;

use rekindle_cloud::CloudErrorKind;

use crate::call::{Call, Operation};

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which operation.
    pub operation: Operation,
    /// In which of its calls, counted from the injection.
    pub occurrence: Occurrence,
    /// Where in the call.
    pub when: When,
    /// What the caller is told, unless it is told nothing.
    pub error: CloudErrorKind,
}

/// In which calls something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrence {
    /// In this one only; the next call is the first.
    Nth(u64),
    /// In so many from now on.
    Next(u64),
    /// In every one.
    Always,
}

impl Occurrence {
    fn includes(self, number: u64) -> bool {
        match self {
            Self::Nth(nth) => number == nth,
            Self::Next(count) => number <= count,
            Self::Always => true,
        }
    }
}

/// Where in a call something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The call has no effect.
    BeforeEffect,
    /// The call has its effect, and the answer is lost.
    AfterEffect,
    /// The call fails now, and has its effect so much later.
    LateEffect(Duration),
    /// The call has no effect and is never answered.
    Hang,
    /// The call has its effect and is never answered.
    HangAfterEffect,
}

type Predicate = Box<dyn Fn(&Call) -> bool + Send>;

/// All that is to go wrong.
#[derive(Default)]
pub(crate) struct FaultPlan {
    planned: Vec<Planned>,
}

struct Planned {
    fault: Fault,
    predicate: Predicate,
    calls: u64,
}

impl FaultPlan {
    pub(crate) fn add(&mut self, fault: Fault, predicate: Predicate) {
        self.planned.push(Planned { fault, predicate, calls: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.planned.clear();
    }

    /// Counts a call, and says what goes wrong in it. Of several faults the one that was injected first.
    pub(crate) fn meet(&mut self, call: &Call) -> Option<Fault> {
        let mut met = None;
        for planned in &mut self.planned {
            if planned.fault.operation != call.operation() || !(planned.predicate)(call) {
                continue;
            }
            planned.calls += 1;
            if met.is_none() && planned.fault.occurrence.includes(planned.calls) {
                met = Some(planned.fault.clone());
            }
        }
        met
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.planned.iter().map(|planned| &planned.fault)).finish()
    }
}
