//! User namespaces with one identity in them.

use std::io;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use crate::kernel::unshare;

/// What is written into a new user namespace, made before it is entered: entering allocates nothing.
#[derive(Debug)]
pub(crate) struct SingleIdentity {
    user: String,
    group: String,
}

impl SingleIdentity {
    /// The caller's user and group, seen inside as these.
    pub(crate) fn seen_as(user: u32, group: u32) -> Self {
        Self { user: format!("{user} {} 1", geteuid()), group: format!("{group} {} 1", getegid()) }
    }

    /// The caller, seen inside as root.
    pub(crate) fn root() -> Self {
        Self::seen_as(0, 0)
    }

    /// Root, who is seen as root inside as well: for a namespace in a namespace, made before either is entered.
    pub(crate) fn of_root() -> Self {
        Self { user: "0 0 1".into(), group: "0 0 1".into() }
    }

    /// Moves this process, which has one thread, into a new user namespace, and into these others with it.
    pub(crate) fn enter(&self, others: UnshareFlags) -> io::Result<()> {
        unshare(UnshareFlags::NEWUSER | others)?;
        self.map()
    }

    /// Writes the mappings of the user namespace that was just entered.
    pub(crate) fn map(&self) -> io::Result<()> {
        // Without this an unprivileged process may not map its group.
        put(c"/proc/self/setgroups", b"deny")?;
        put(c"/proc/self/uid_map", self.user.as_bytes())?;
        put(c"/proc/self/gid_map", self.group.as_bytes())
    }
}

/// Writes into a file of the kernel, in one call and without allocating.
pub(crate) fn put(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    let written = rustix::io::write(&file, text)?;
    if written == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
