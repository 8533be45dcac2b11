//! A cloud in memory that behaves: late, lagging, short of capacity, and faulty on demand.
//!
//! It does what EC2 does and an obliging fake does not: an id that was just returned is unknown for a while, a call
//! that failed may have its effect later, an image is pending before it is available, capacity runs out, token buckets
//! run dry. It lives on tokio's time, so a test that pauses the time waits for none of this; everything random comes
//! from one seed.
//!
//! Read `behaviour` first, then `provider`: how a call goes.

mod behaviour;
mod call;
mod cloud;
mod fault;
mod history;
mod instance;
mod provider;
mod throttle;
mod world;

pub use behaviour::Behaviour;
pub use call::{Call, CallOutcome, CallRecord, Operation};
pub use cloud::{RunningHook, SimulatedCloud};
pub use fault::{Fault, Occurrence, When};
pub use instance::SimulatedInstance;

/// What an instance's disk holds. Its shape is the business of whoever simulates the agent.
pub type Disk = serde_json::Value;

/// The kind of the volume under each instance.
pub const VOLUME: &str = "volume";
/// The kind of the snapshot under each image.
pub const SNAPSHOT: &str = "snapshot";
