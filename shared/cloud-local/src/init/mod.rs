//! The processes that are an instance: a supervisor on the host's side, and the first process inside.
//!
//! The supervisor is started by the owner, joins the namespaces of the private network, and forks the first process
//! into a PID namespace. The first process builds the file system, and then moves into a user namespace of the
//! instance's own: in that one the mounts are locked, so that no program of the instance can make the host's `/usr`
//! writable, whoever the owner is.

pub(crate) mod console;
pub(crate) mod first_process;
pub(crate) mod identity;
pub(crate) mod log;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod root;
pub(crate) mod supervisor;
