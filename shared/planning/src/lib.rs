//! Pure decisions. Nothing here reads a clock, a register or a store: what is known is passed in, and the decision
//! comes out, so that every branch is one line of a test.

pub mod deadline;
pub mod ending;
pub mod rebuild;
pub mod recovery;
pub mod refresh;
pub mod register_epoch;
pub mod retry;
pub mod sweep;

pub use recovery::{
    RecoveryRequest, RecoverySituation, RecoveryUnplannable, TargetImageRefusal, plan_recovery,
};
pub use refresh::{KnownSet, MachineSituation, Work, find_work};
pub use register_epoch::{RegisterStanding, standing};
pub use retry::{Admission, PastFailures, admit};
pub use sweep::{SWEEP_INTERVAL, SignsOfLife, SweepAction, silent_since, sweep_action};
