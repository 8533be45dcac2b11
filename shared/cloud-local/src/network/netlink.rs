//! As much of the kernel's route protocol as bridges and pairs of virtual interfaces need.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The hardware address of an interface.
pub(crate) type HardwareAddress = [u8; 6];

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const ANSWER: u16 = 2;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const LINK_NAMESPACE: u16 = 28;
const LINK_INFO_KIND: u16 = 1;
const LINK_INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;

const ADDRESS: u16 = 1;
const LOCAL_ADDRESS: u16 = 2;

const UP: u32 = 1;
const HEADER: usize = 16;

/// One request, ready to be sent. Made before a fork, it can be sent by a child that must not allocate.
#[derive(Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(REQUEST | ACKNOWLEDGE | flags).to_ne_bytes());
        bytes.extend_from_slice(&1_u32.to_ne_bytes());
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        Self(bytes)
    }

    fn interface(mut self, index: u32, flags: u32) -> Self {
        // Family and type are unspecified.
        self.0.extend_from_slice(&[0; 4]);
        self.0.extend_from_slice(&index.to_ne_bytes());
        self.0.extend_from_slice(&flags.to_ne_bytes());
        self.0.extend_from_slice(&flags.to_ne_bytes());
        self
    }

    fn attribute(self, kind: u16, value: &[u8]) -> Self {
        self.nested(kind, |mut request| {
            request.0.extend_from_slice(value);
            request
        })
    }

    fn name(self, name: &str) -> Self {
        let mut terminated = name.as_bytes().to_vec();
        terminated.push(0);
        self.attribute(LINK_NAME, &terminated)
    }

    /// An attribute whose value is what the closure appends.
    fn nested(mut self, kind: u16, value: impl FnOnce(Self) -> Self) -> Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        let mut filled = value(self);
        let length = u16::try_from(filled.0.len() - start).unwrap_or(u16::MAX);
        filled.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled.0.resize(filled.0.len().next_multiple_of(4), 0);
        filled
    }

    fn finish(mut self) -> Self {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// A bridge, up.
    pub(crate) fn create_bridge(name: &str, hardware: HardwareAddress) -> Self {
        Self::new(NEW_LINK, CREATE | EXCLUSIVE)
            .interface(0, UP)
            .name(name)
            // An address of its own: otherwise the bridge takes the lowest of its members', and it would change as
            // instances come and go, while their neighbours remember the old one.
            .attribute(LINK_ADDRESS, &hardware)
            .nested(LINK_INFO, |info| info.attribute(LINK_INFO_KIND, b"bridge"))
            .finish()
    }

    /// A pair of interfaces: one here, up and a member of the bridge; the other in the other namespace.
    pub(crate) fn create_pair(here: &str, bridge: Option<u32>, there: &FarEnd<'_>) -> Self {
        let mut request = Self::new(NEW_LINK, CREATE | EXCLUSIVE).interface(0, UP).name(here);
        if let Some(index) = bridge {
            request = request.attribute(LINK_MASTER, &index.to_ne_bytes());
        }
        request
            .nested(LINK_INFO, |info| {
                info.attribute(LINK_INFO_KIND, b"veth")
                    .nested(LINK_INFO_DATA, |data| data.nested(VETH_PEER, |peer| there.describe(peer)))
            })
            .finish()
    }

    /// An interface that exists, up.
    pub(crate) fn set_up(index: u32) -> Self {
        Self::new(NEW_LINK, 0).interface(index, UP).finish()
    }

    /// Removes an interface, and with it the other end of its pair.
    pub(crate) fn delete(name: &str) -> Self {
        Self::new(DELETE_LINK, 0).interface(0, 0).name(name).finish()
    }

    /// Gives an interface an address.
    pub(crate) fn add_address(index: u32, address: Ipv4Addr, prefix_length: u8) -> Self {
        const INTERNET: u8 = 2;
        let mut request = Self::new(NEW_ADDRESS, CREATE | EXCLUSIVE);
        request.0.extend_from_slice(&[INTERNET, prefix_length, 0, 0]);
        request.0.extend_from_slice(&index.to_ne_bytes());
        request.attribute(LOCAL_ADDRESS, &address.octets()).attribute(ADDRESS, &address.octets()).finish()
    }
}

/// The end of a pair that is made elsewhere.
#[derive(Debug)]
pub(crate) struct FarEnd<'a> {
    /// Its name there.
    pub(crate) name: &'a str,
    /// Its hardware address, where it matters.
    pub(crate) hardware: Option<HardwareAddress>,
    /// Where; here if nowhere else.
    pub(crate) namespace: Option<BorrowedFd<'a>>,
}

impl FarEnd<'_> {
    fn describe(&self, request: Request) -> Request {
        let mut request = request.interface(0, 0).name(self.name);
        if let Some(hardware) = self.hardware {
            request = request.attribute(LINK_ADDRESS, &hardware);
        }
        if let Some(namespace) = self.namespace {
            request = request.attribute(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
        }
        request
    }
}

/// A way to speak to the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    /// In this process's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // The route protocol is number zero.
            None,
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Sends the request and waits for the kernel's answer.
    pub(crate) fn ask(&self, request: &Request) -> io::Result<()> {
        rustix::net::send(&self.0, &request.0, SendFlags::empty())?;
        let mut answer = [0_u8; 4096];
        let (length, _) = rustix::net::recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        read_answer(answer.get(..length).unwrap_or_default())
    }

    /// The number of the interface of this name.
    pub(crate) fn index_of(&self, name: &str) -> io::Result<u32> {
        // Any socket will do, but the kernel answers for the namespace that the socket belongs to.
        Ok(rustix::net::netdevice::name_to_index(self.0.as_fd(), name)?)
    }
}

fn read_answer(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(ANSWER), Some(0)) => Ok(()),
        (Some(ANSWER), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
