//! The program inside instances and on the customer's hosts: backs up, restores, verifies, seals.
//!
//! Read `jobs` first: one file for each thing that an instance is asked to do. `backup` is the other half, on the
//! customer's hosts. A data store is handled by a [`recipe`], which is data; the programs that the built-in recipes
//! call are the helper commands under [`engine`].
//!
//! What the agent obeys is what the customer signed, and nothing else: backup sets, configuration documents and
//! recipes are checked against the keys in `/etc/rekindle/trusted-keys` before a byte of them is used.

pub mod api_client;
pub mod aws;
mod back_up;
pub mod backup;
pub mod buckets;
pub mod command_line;
pub mod configuration;
pub mod engine;
mod error;
mod files;
mod health;
pub mod identity;
mod init;
mod install;
pub mod jobs;
pub mod keys;
mod logging;
pub mod places;
pub mod produce;
pub mod programs;
pub mod publish_configuration;
pub mod recipe;
mod run;
mod run_as;
pub mod state;
pub mod transfer;

pub use command_line::run;
pub use recipe::{BuiltinRecipe, builtin_recipes};

/// The version that an instance reports and that sets carry.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name under which the agent starts itself. A program that holds the agent among others recognises it by the
/// file name of its first argument.
pub const PROGRAM_NAME: &str = "rekindle-agent";
