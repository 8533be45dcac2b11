//! The addresses of the private network: 10.77.0.0/16, of which each of the two networks has one half.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::network::netlink::HardwareAddress;

/// How many bits of an address name the network.
pub(crate) const PREFIX_LENGTH: u8 = 17;

/// One of the two networks. Nothing is forwarded between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Where production and recovered services meet: 10.77.0.0/17.
    Shared,
    /// Kept apart from it: 10.77.128.0/17.
    Isolated,
}

impl Segment {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Shared, Self::Isolated];

    /// Where an instance goes.
    pub(crate) fn of(isolated: bool) -> Self {
        if isolated { Self::Isolated } else { Self::Shared }
    }

    /// The name of its bridge.
    pub(crate) fn bridge(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Isolated => "isolated",
        }
    }

    /// The bridge's own address, from which the connector speaks.
    pub(crate) fn bridge_address(self) -> Ipv4Addr {
        self.address(1)
    }

    fn address(self, number: u16) -> Ipv4Addr {
        let [high, low] = number.to_be_bytes();
        Ipv4Addr::new(10, 77, self.first_octet() | high, low)
    }

    fn first_octet(self) -> u8 {
        match self {
            Self::Shared => 0,
            Self::Isolated => 128,
        }
    }

    /// A free address, the next one after the last that was given: one that was just given back rests.
    pub(crate) fn next_free(self, taken: &BTreeSet<Ipv4Addr>, last: &mut u16) -> Option<Ipv4Addr> {
        const FIRST: u16 = 2;
        const LAST: u16 = 0x7ffe;
        for _ in FIRST..=LAST {
            *last = if (FIRST..LAST).contains(last) { *last + 1 } else { FIRST };
            let address = self.address(*last);
            if !taken.contains(&address) {
                return Some(address);
            }
        }
        None
    }
}

/// The hardware address that belongs to an address: neighbours that remember it stay right when it is given again.
pub(crate) fn hardware_address(address: Ipv4Addr) -> HardwareAddress {
    let [a, b, c, d] = address.octets();
    [0x02, 0x72, a, b, c, d]
}

/// The name of an instance's interface on the side of the bridge.
pub(crate) fn link_name(address: Ipv4Addr) -> String {
    let [_, _, c, d] = address.octets();
    format!("instance-{c:02x}{d:02x}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn addresses_are_given_in_turn_and_never_twice() {
        let mut last = 0;
        let first = Segment::Shared.next_free(&BTreeSet::new(), &mut last).unwrap();
        let second = Segment::Shared.next_free(&BTreeSet::from([first]), &mut last).unwrap();
        assert_eq!((first, second), (Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 3)));
        // The first is free again, and still rests.
        let third = Segment::Shared.next_free(&BTreeSet::from([second]), &mut last).unwrap();
        assert_eq!(third, Ipv4Addr::new(10, 77, 0, 4));
        last = 0x7ffe;
        let around = Segment::Isolated.next_free(&BTreeSet::new(), &mut last).unwrap();
        assert_eq!(around, Ipv4Addr::new(10, 77, 128, 2));
    }

    #[test]
    fn a_link_has_a_name_that_the_kernel_takes() {
        assert!(link_name(Ipv4Addr::new(10, 77, 255, 254)).len() <= 15);
    }
}
