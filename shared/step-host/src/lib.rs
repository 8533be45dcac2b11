//! What every host of steps does around an invocation: it reads from the payload what the invocation is about, makes of
//! a panic an error with a name, and leaves a record for the report.
//!
//! A host does three things with it: [`Envelope::open`] the payload, [`answer`] with a step, and [`Recorder::finish`].

mod answer;
mod envelope;
mod recorder;

pub use answer::{Failure, answer};
pub use envelope::{Envelope, Subject};
pub use recorder::{Begun, Recorder};
