//! The supervisor: between the owner and the first process of an instance.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;

use rekindle_cloud::CloudError;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::control::{Control, Event};
use crate::error::{Explain as _, sentence, uncertain};
use crate::init::first_process::{self, Belongings};
use crate::init::process::{ProcessHold, ProcessName};
use crate::instance::specification::Specification;
use crate::kernel::{Forked, exit_at_once, fork, unshare};
use crate::network::address::{hardware_address, link_name};
use crate::network::netlink::{FarEnd, Netlink, Request};

/// The file name of the console's socket, under `run`.
pub(crate) const CONSOLE_SOCKET: &str = "console.sock";
/// The instance's interface, inside.
pub(crate) const INTERFACE: &str = "eth0";
/// What the supervisor exits with when the first process was killed.
const KILLED: u8 = 137;

/// Runs until the instance is gone, or the owner is.
pub(crate) fn run(mut control: Control) -> io::Result<ExitCode> {
    let specification: Specification = control.read_task()?;
    // What is made on the host's side is the owner's alone.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    match start(&specification, &control) {
        Ok(instance) => instance.supervise(&control),
        Err(error) => {
            control.tell(&Event::Failed(sentence(&error)));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn start(specification: &Specification, control: &Control) -> Result<Supervised, CloudError> {
    let mut lock = lock_processes().explain(|| "the instance's processes cannot be noted down".into())?;
    let belongings = Belongings::open(specification.console)?;
    join_network(specification.network_process)
        .explain(|| "the namespaces of the private network cannot be joined".into())?;
    let netlink = Netlink::open().explain(|| "cannot speak to the kernel about networks".into())?;
    let (mut ours, theirs) = UnixStream::pair().explain(|| "cannot make a pair of sockets".into())?;
    unshare(UnshareFlags::NEWPID).explain(|| "there can be no PID namespace".into())?;
    match fork().explain(|| "the first process cannot be forked".into())? {
        Forked::Child => {
            drop(ours);
            // The lock, the listeners and the lifeline are the child's as well; it never comes back from here.
            exit_at_once(first_process::run(specification, control, belongings, theirs))
        }
        Forked::Parent { child } => {
            drop((theirs, belongings));
            let mut supervised = Supervised::note(child, &mut lock, netlink, specification)?;
            control.tell(&Event::Forked(child.as_raw_nonzero().get()));
            supervised.lock = Some(lock);
            supervised.connect(&mut ours, specification)?;
            Ok(supervised)
        }
    }
}

/// Both processes hold this lock while they live: whoever opens the state directory next can wait for their end.
fn lock_processes() -> io::Result<File> {
    let mut lock = File::create("processes")?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    lock.write_all(ProcessName::of(rustix::process::getpid())?.line().as_bytes())?;
    Ok(lock)
}

fn join_network(process: u32) -> io::Result<()> {
    let users = File::open(format!("/proc/{process}/ns/user"))?;
    let network = File::open(format!("/proc/{process}/ns/net"))?;
    move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User))?;
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// A first process and what belongs to it on the host's side.
struct Supervised {
    child: Pid,
    hold: ProcessHold,
    netlink: Netlink,
    link: String,
    lock: Option<File>,
}

impl Supervised {
    fn note(
        child: Pid,
        lock: &mut File,
        netlink: Netlink,
        specification: &Specification,
    ) -> Result<Self, CloudError> {
        let what = || "the first process ended at once".to_owned();
        let name = ProcessName::of(child).explain(what)?;
        lock.write_all(name.line().as_bytes()).explain(|| "the first process cannot be noted down".into())?;
        let hold = name.hold().ok_or_else(|| uncertain(what()))?;
        Ok(Self { child, hold, netlink, link: link_name(specification.address), lock: None })
    }

    /// Joins the instance's network namespace to its bridge, when the instance has one.
    fn connect(&self, child: &mut UnixStream, specification: &Specification) -> Result<(), CloudError> {
        let mut ready = [0];
        if child.read_exact(&mut ready).is_err() {
            // It has said why to the owner itself.
            return Ok(());
        }
        let joined = self.join(specification);
        if joined.is_err() {
            self.hold.kill();
        }
        joined.explain(|| "the instance cannot be joined to the private network".into())?;
        // If the child is gone by now, that is found out in a moment.
        drop(child.write_all(&ready));
        Ok(())
    }

    fn join(&self, specification: &Specification) -> io::Result<()> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.child.as_raw_nonzero()))?;
        let bridge = self.netlink.index_of(&specification.bridge)?;
        let far_end = FarEnd {
            name: INTERFACE,
            hardware: Some(hardware_address(specification.address)),
            namespace: Some(namespace.as_fd()),
        };
        self.netlink.ask(&Request::create_pair(&self.link, Some(bridge), &far_end))
    }

    fn supervise(self, control: &Control) -> io::Result<ExitCode> {
        let mut watched = [PollFd::new(&control.socket, PollFlags::empty()), self.hold.watched()];
        while watched.iter().all(|one| one.revents().is_empty()) {
            match poll(&mut watched, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Either it has ended, or the owner has: the first process sees that as well, and this makes sure.
        self.hold.kill();
        let status = waitpid(Some(self.child), WaitOptions::empty())?;
        // Its namespace is being taken apart; the interface is gone when we are.
        drop(self.netlink.ask(&Request::delete(&self.link)));
        drop(self.lock);
        let code = status.and_then(|(_, status)| status.exit_status());
        Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(KILLED)))
    }
}

impl Belongings {
    /// Opens what the first process needs of the host, in the instance's directory.
    fn open(console: bool) -> Result<Self, CloudError> {
        let socket = std::path::Path::new("run").join(CONSOLE_SOCKET);
        let console = console
            .then(|| UnixListener::bind(&socket))
            .transpose()
            .explain(|| "the console cannot listen".into())?;
        let log = File::open("log").explain(|| "the log folder cannot be opened".into())?;
        Ok(Self { console, log })
    }
}
