//! The register: Target CMDB, image register, leases, runs and jobs in one DynamoDB table.
//!
//! Read [`keys`] first: it lists every kind of item, its key, and which question reads it. [`Register`] is the only
//! way in. The same code talks to DynamoDB on AWS and, through [`EmbeddedRegister`], to a register inside this
//! process that is kept in one file.
//!
//! Three rules hold everywhere:
//!
//! * **Every write has a precondition.** A write that may run twice (all of them may) either finds its own effect and
//!   answers as it did the first time, or is refused with the reason. The one exception is the counter of wake-ups:
//!   counting one twice costs a run that finds nothing to do, and loses nothing.
//! * **What must hold together is one transaction.** A stale builder cannot register, because the run, the lease and
//!   the newest image are conditions of the very write.
//! * **Reads of the table are consistent.** Only the questions "which runs are unfinished", "how many builders" and
//!   "which human tasks are open" go through the index, which lags behind; [`keys`] says why that is fine.
//!
//! Neither `ClientRequestToken` nor time to live is used: the embedded register forgets the one at a restart and
//! does not act on the other.

pub mod keys;

mod attributes;
mod document;
mod embedded;
mod error;
mod expression;
mod records;
mod register;
mod table;
mod token;

pub use embedded::EmbeddedRegister;
pub use error::{DecisionRefusal, RegisterError};
pub use records::{
    Attempts, FailedVerdict, Hello, HelloRecord, InstanceBinding, IntentResource, JobRecord, Lease,
    MachineState, NewJob, NewestImage, Progress, Recorded, RefusedDescription, Released, SetRecord,
    SetStatus, Taken, Versioned,
};
pub use register::Register;
pub use token::TaskToken;
