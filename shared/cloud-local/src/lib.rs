//! Real instances on one Linux machine: namespaces and copy-on-write images, without root.
//!
//! [`LocalCloud`] starts *instances*: each has its own file system, host name, machine id, address and processes, and
//! sees the host's `/usr` read-only. An instance is stopped when its program says so, an image is made of its tree, and
//! the next instance starts from it. The owner needs no privilege, no daemon and no other program: only the kernel,
//! and its own program started again as a helper (see [`run_helper`]).
//!
//! **Nothing outlives its owner.** Every helper holds one end of a socket whose other end is in the owner; when the
//! owner ends, even by `kill -9`, the kernel closes it, the first process of each instance ends, and with it everything
//! in its PID namespace.
//!
//! **What this is not.** All instances of an owner run under the owner's one user id and on the owner's kernel. Each
//! has a user namespace of its own, but these are siblings in the one of the private network, and there are no resource
//! limits: an instance can use up memory, processors and disk, and a flaw of the kernel is open to all of them. This
//! keeps instances out of each other's way; it is no boundary against a hostile tenant.
//!
//! **What a launch costs** ([`LaunchCost`]). Where the file system can share blocks between files, a launch copies
//! nothing. Elsewhere (ext4) a complete *ready copy* is made when an image is registered, and the next replica takes it
//! by one rename; making the next one begins at once in the background. A replica that comes before that is done, and
//! every builder, pays for one copy of the image at its launch. So each image takes twice its size on such a disk.

pub mod run_as;

mod cloud;
mod control;
mod core;
mod directories;
mod durable;
mod error;
mod helper;
mod image;
mod init;
mod instance;
mod kernel;
mod leftovers;
mod namespaces;
mod network;
mod options;
mod probe;
mod reconcile;
mod records;

pub use cloud::LocalCloud;
pub use helper::run_helper;
pub use image::base::{BaseImageFile, BaseImageSpec, FileSource};
pub use instance::console::RunOutput;
pub use instance::record::{LaunchCost, LaunchMethod};
pub use leftovers::{leftovers, network_interfaces};
pub use options::{InstanceProfile, LocalCloudOptions, OnLaunch};
pub use probe::{Unsupported, probe};
