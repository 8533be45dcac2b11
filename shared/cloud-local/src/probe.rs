//! Whether this machine allows what instances need, and if not, what would allow it.

use std::fs;
use std::io;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, OpenTreeFlags, fsconfig_create,
    fsmount, fsopen, mount_change, open_tree,
};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::UnshareFlags;

use crate::kernel::{Forked, exit_at_once, fork, make_read_only, unshare};
use crate::namespaces::SingleIdentity;
use crate::network::netlink::{FarEnd, Netlink, Request};

/// What is missing on this machine, and how to allow it, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("local instances cannot run on this machine: {sentence}")]
pub struct Unsupported {
    /// The sentence.
    pub sentence: String,
}

/// What is tried, in this order. The number is the exit code of the process that tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
enum Need {
    UserNamespace = 10,
    Identity = 11,
    Namespaces = 12,
    FirstProcess = 13,
    PrivateMounts = 14,
    MemoryFileSystem = 15,
    Processes = 16,
    ReadOnlyMounts = 17,
    Sockets = 18,
    Bridge = 19,
    Pair = 20,
    SecondNamespace = 21,
}

impl Need {
    const ALL: [Self; 12] = [
        Self::UserNamespace,
        Self::Identity,
        Self::Namespaces,
        Self::FirstProcess,
        Self::PrivateMounts,
        Self::MemoryFileSystem,
        Self::Processes,
        Self::ReadOnlyMounts,
        Self::Sockets,
        Self::Bridge,
        Self::Pair,
        Self::SecondNamespace,
    ];

    fn sentence(self) -> String {
        match self {
            Self::UserNamespace | Self::SecondNamespace => user_namespaces(),
            Self::Identity
            | Self::Namespaces
            | Self::FirstProcess
            | Self::PrivateMounts
            | Self::MemoryFileSystem => confined(),
            Self::Processes => {
                "a new /proc cannot be mounted, which is so inside most containers; run on the host \
                                itself, or in a container whose /proc is not masked"
                    .into()
            }
            Self::ReadOnlyMounts => {
                "the kernel cannot make mounts read-only as a whole; Linux 5.12 or newer is needed".into()
            }
            Self::Sockets => {
                "the kernel does not answer about networks inside a namespace; allow netlink sockets to \
                              this process"
                    .into()
            }
            Self::Bridge => {
                "the kernel has no network bridges; load them as root with `modprobe bridge`".into()
            }
            Self::Pair => {
                "the kernel has no pairs of virtual interfaces; load them as root with `modprobe veth`".into()
            }
        }
    }
}

fn user_namespaces() -> String {
    if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return "ordinary users may not make user namespaces; allow it as root with \
                `sysctl kernel.unprivileged_userns_clone=1`, or run as root"
            .into();
    }
    if setting("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        return "user namespaces are switched off; allow them as root with `sysctl user.max_user_namespaces=10000`"
            .into();
    }
    confined()
}

fn confined() -> String {
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return "AppArmor takes all rights from the user namespaces of ordinary users; allow it as root with \
                `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run as root"
            .into();
    }
    "user namespaces with rights of their own are not allowed to this process; outside of a container they are, as \
     long as the kernel has them and no security policy forbids them"
        .into()
}

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Tries what instances need, in a process of its own, and leaves nothing behind.
///
/// # Errors
/// Says in one sentence what is missing and how to allow it.
pub fn probe() -> Result<(), Unsupported> {
    let attempt = Attempt::prepare();
    match in_child(|| attempt.run()) {
        Ok(0) => Ok(()),
        Ok(code) => Err(unsupported(code)),
        Err(error) => Err(Unsupported { sentence: format!("no process can be started to try it: {error}") }),
    }
}

fn unsupported(code: i32) -> Unsupported {
    let need = Need::ALL.into_iter().find(|need| *need as i32 == code);
    Unsupported {
        sentence: need.map_or_else(|| format!("the attempt ended with code {code}"), Need::sentence),
    }
}

/// Runs the closure in a child and gives its exit code. The closure must not allocate or take locks.
fn in_child(act: impl FnOnce() -> i32) -> io::Result<i32> {
    match fork()? {
        Forked::Child => exit_at_once(act()),
        Forked::Parent { child } => exit_code(child),
    }
}

fn exit_code(child: Pid) -> io::Result<i32> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status.exit_status().unwrap_or(-1)),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Everything that has to be made before the fork.
struct Attempt {
    identity: SingleIdentity,
    identity_inside: SingleIdentity,
    bridge: Request,
    pair: Request,
}

impl Attempt {
    fn prepare() -> Self {
        let far_end = FarEnd { name: "probe-far", hardware: None, namespace: None };
        Self {
            identity: SingleIdentity::root(),
            identity_inside: SingleIdentity::of_root(),
            bridge: Request::create_bridge("probe-bridge", [2, 0x72, 0, 0, 0, 1]),
            pair: Request::create_pair("probe-near", None, &far_end),
        }
    }

    fn run(&self) -> i32 {
        code(self.namespaces().and_then(|()| match in_child(|| code(self.inside())) {
            Ok(0) => Ok(()),
            Ok(code) => Err(code),
            Err(_) => Err(Need::FirstProcess as i32),
        }))
    }

    fn namespaces(&self) -> Result<(), i32> {
        need(Need::UserNamespace, unshare(UnshareFlags::NEWUSER))?;
        need(Need::Identity, self.identity.map())?;
        let others =
            UnshareFlags::NEWNET | UnshareFlags::NEWPID | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
        need(Need::Namespaces, unshare(others))
    }

    fn inside(&self) -> Result<(), i32> {
        need(Need::PrivateMounts, unshare(UnshareFlags::NEWNS))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        need(Need::PrivateMounts, mount_change(c"/", private))?;
        need(Need::MemoryFileSystem, try_file_system(c"tmpfs"))?;
        need(Need::Processes, try_file_system(c"proc"))?;
        need(Need::ReadOnlyMounts, try_read_only())?;
        let netlink = Netlink::open().map_err(|_| Need::Sockets as i32)?;
        need(Need::Bridge, netlink.ask(&self.bridge))?;
        need(Need::Pair, netlink.ask(&self.pair))?;
        let second = UnshareFlags::NEWNS | UnshareFlags::NEWNET;
        need(Need::SecondNamespace, self.identity_inside.enter(second))
    }
}

fn need<T, E>(need: Need, result: Result<T, E>) -> Result<(), i32> {
    result.map(drop).map_err(|_| need as i32)
}

fn code(result: Result<(), i32>) -> i32 {
    result.err().unwrap_or(0)
}

fn try_file_system(kind: &std::ffi::CStr) -> io::Result<()> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    Ok(())
}

fn try_read_only() -> io::Result<()> {
    use std::os::fd::AsFd as _;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    make_read_only(open_tree(rustix::fs::CWD, c"/usr", flags)?.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_has_a_sentence_that_says_what_to_do() {
        for need in Need::ALL {
            let sentence = unsupported(need as i32).to_string();
            assert!(sentence.len() > 80 && !sentence.contains("code"), "{sentence}");
        }
    }
}
