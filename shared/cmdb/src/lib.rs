//! The register: Target CMDB, image register, leases, runs and jobs in one DynamoDB table.
//!
//! Read `keys.rs` first: it lists every kind of item, its key, and which question reads it. [`Register`] is the only
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
//!   "which human tasks are open" go through the index, which lags behind; `keys.rs` says why that is fine.
//!
//! No answer rests on `ClientRequestToken`, which the embedded register forgets at a restart: it only keeps a request
//! from being made twice that the client sends twice. Nothing has a time to live; `keys.rs` says why.
//!
//! On AWS the caller brings the client, with the credentials and the HTTPS stack of the whole program
//! (`aws_sdk_dynamodb::Client::new(&aws_config::load_defaults(…).await)`): this crate has neither, so that the embedded
//! program need not have them. The table is made by the template, after [`table_shape`].

mod attributes;
mod document;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
mod expression;
mod keys;
mod records;
mod register;
mod shape;
mod table;
mod token;

#[cfg(feature = "embedded")]
pub use embedded::EmbeddedRegister;
pub use error::{DecisionRefusal, RegisterError};
pub use records::{
    Attempts, FailedVerdict, Hello, HelloRecord, InstanceBinding, IntentResource, JobRecord, Lease,
    MachineState, NewJob, NewestImage, Progress, Recorded, RefusedDescription, Released, SetRecord,
    SetStatus, Taken, Versioned,
};
pub use register::{ClientClaim, Page, Register};
pub use shape::table_shape;
pub use token::TaskToken;
