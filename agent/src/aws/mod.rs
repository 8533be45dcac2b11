//! AWS around the agent, as `docs/design/0016-on-aws.md` describes it: the buckets, the agent API behind IAM, the data
//! key, the instance metadata, and the power switch.
//!
//! The table `[aws]` of `agent.toml` is always understood. Everything that needs a client of AWS is behind the feature
//! `aws`, so that the embedded program carries none of it.

mod settings;

#[cfg(not(feature = "aws"))]
mod absent;
#[cfg(feature = "aws")]
mod api;
#[cfg(feature = "aws")]
mod authorized_keys;
#[cfg(feature = "aws")]
mod caller_role;
#[cfg(feature = "aws")]
mod forbidden;
#[cfg(feature = "aws")]
mod identity;
#[cfg(feature = "aws")]
mod metadata;
#[cfg(feature = "aws")]
mod power_off;
#[cfg(feature = "aws")]
mod resolver;
#[cfg(feature = "aws")]
mod serve;
#[cfg(feature = "aws")]
mod signature;
#[cfg(feature = "aws")]
pub(crate) mod wrap_identity;

use rekindle_step::StepError;

use crate::error::failed;

pub use settings::AwsSettings;

#[cfg(not(feature = "aws"))]
pub(crate) use absent::{open_buckets, serve};
#[cfg(feature = "aws")]
pub use api::SignedApi;
#[cfg(feature = "aws")]
pub use caller_role::CallerRole;
#[cfg(feature = "aws")]
pub use identity::KmsIdentity;
#[cfg(feature = "aws")]
pub(crate) use serve::{open_buckets, serve};

/// What an agent without the feature `aws` says to a configuration with the table `[aws]`.
pub(crate) fn not_built() -> StepError {
    failed("this agent was built without AWS").next_step(
        "Install the agent that was built with its feature `aws`, or remove the table [aws] from agent.toml",
    )
}
