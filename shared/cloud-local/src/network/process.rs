//! The process that is the private network: it holds the namespaces, the bridges and the connector.

use std::io;
use std::os::unix::net::UnixListener;

use rekindle_cloud::CloudError;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::UnshareFlags;

use crate::control::{Control, Event};
use crate::error::{Explain as _, sentence};
use crate::kernel::unshare;
use crate::namespaces::{SingleIdentity, put};
use crate::network::address::{PREFIX_LENGTH, Segment, hardware_address};
use crate::network::connector;
use crate::network::netlink::{Netlink, Request};

/// The number of the loopback interface in every network namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// Runs until the owner is gone.
pub(crate) fn run(mut control: Control) -> io::Result<()> {
    control.read_task::<()>()?;
    match prepare() {
        Ok(listener) => {
            control.tell(&Event::Started);
            serve(&control, &listener)
        }
        Err(error) => {
            control.tell(&Event::Failed(sentence(&error)));
            Ok(())
        }
    }
}

fn prepare() -> Result<UnixListener, CloudError> {
    // The socket is the owner's alone.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    SingleIdentity::root()
        .enter(UnshareFlags::empty())
        .explain(|| "the private network cannot have a user namespace".into())?;
    unshare(UnshareFlags::NEWNET).explain(|| "there can be no private network namespace".into())?;
    keep_segments_apart()
        .explain(|| "forwarding between the private networks cannot be switched off".into())?;
    let netlink = Netlink::open().explain(|| "cannot speak to the kernel about networks".into())?;
    netlink
        .ask(&Request::set_up(LOOPBACK))
        .explain(|| "the loopback interface cannot be switched on".into())?;
    for segment in Segment::ALL {
        create_bridge(&netlink, segment)
            .explain(|| format!("the bridge of the {} network cannot be made", segment.bridge()))?;
    }
    UnixListener::bind(connector::SOCKET).explain(|| "the connector cannot listen".into())
}

/// A new namespace takes the machine's setting, and a machine with containers on it forwards.
fn keep_segments_apart() -> io::Result<()> {
    put(c"/proc/sys/net/ipv4/ip_forward", b"0").or_else(|error| {
        match std::fs::read("/proc/sys/net/ipv4/ip_forward") {
            Ok(value) if value.trim_ascii() == b"0" => Ok(()),
            _ => Err(error),
        }
    })
}

fn create_bridge(netlink: &Netlink, segment: Segment) -> io::Result<()> {
    let address = segment.bridge_address();
    netlink.ask(&Request::create_bridge(segment.bridge(), hardware_address(address)))?;
    let index = netlink.index_of(segment.bridge())?;
    netlink.ask(&Request::add_address(index, address, PREFIX_LENGTH))
}

fn serve(control: &Control, listener: &UnixListener) -> io::Result<()> {
    loop {
        let mut watched = [PollFd::new(&control.socket, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // The owner has nothing to say to the network: whatever comes is its end.
        if !watched[0].revents().is_empty() {
            return Ok(());
        }
        if !watched[1].revents().is_empty() {
            connector::accept(listener);
        }
    }
}
