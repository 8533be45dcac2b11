//! Instances and images on EC2.
//!
//! [`Ec2Cloud`] is the port of `rekindle-cloud` on Amazon EC2, and the only user of its client. Read `launch` for how an
//! instance is started once, `image` for how an image gets its name alone, `find` for what belongs to a run, `error` for
//! what EC2's answers mean, `role` for as whom it calls. What a deployment decides is in [`LaunchSettings`].
//!
//! An instance is shaped by its launch template (IMDSv2, profile, *stop* as shutdown behaviour, encryption); the template
//! must not name network interfaces, since a request may not name a subnet beside them.

mod client;
mod cloud;
mod environment;
mod error;
mod find;
mod image;
mod instance;
mod launch;
mod role;
mod settings;
mod tags;
mod tries;

pub use cloud::Ec2Cloud;
pub use environment::{CUSTOMER_EXTERNAL_ID, CUSTOMER_ROLE, LAUNCH};
pub use error::{Failure, classify};
pub use role::CustomerRole;
pub use settings::{LaunchSettings, LaunchTemplate, Network, SettingsError};
pub use tags::STACK_TAG;

/// Every action of EC2 that this crate asks for; a policy for a function that reaches EC2 needs no other.
///
/// None of them makes a key pair, makes, attaches or reads a volume, reads or shares a snapshot, or shares an image: the
/// orchestrator cannot reach what lies on a disk.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/OperationList-query.html>
pub const ACTIONS: [&str; 13] = [
    "CreateImage",
    "CreateTags",
    "DeleteNetworkInterface",
    "DeleteSnapshot",
    "DeleteVolume",
    "DeregisterImage",
    "DescribeImages",
    "DescribeInstances",
    "DescribeNetworkInterfaces",
    "DescribeSnapshots",
    "DescribeVolumes",
    "RunInstances",
    "TerminateInstances",
];
