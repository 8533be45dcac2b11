//! What several steps do with instances: start one exactly once, and give its agent jobs.

mod agent_job;
mod launch;
mod task_input;

pub use agent_job::{AgentJobs, Assignment};
pub use launch::{Launch, Launcher, Started};
pub use task_input::{BuilderTask, ReplicaTask, attempt_step};
