//! Where a node is in the overlay: everything follows from its pods' subnet and its address.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::entry::{Entry, Mac};

/// Bytes that VXLAN adds to a frame over IPv4: outer IP, UDP and VXLAN headers and the inner
/// Ethernet header.
pub const OVERHEAD: u32 = 20 + 8 + 8 + 14;

/// One node in the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Subnet of the node's pods.
    pub subnet: Ipv4Net,
    /// Address at which other nodes reach it.
    pub node: Ipv4Addr,
}

impl Site {
    /// The address of its device: the first of the subnet, which no pod gets.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.subnet.network()
    }

    /// The hardware address of its device: `0a:58` (locally administered) and the four bytes of the
    /// address, so that nobody needs to be told it.
    #[must_use]
    pub fn mac(&self) -> Mac {
        let [a, b, c, d] = self.address().octets();
        Mac([0x0a, 0x58, a, b, c, d])
    }

    /// What the node itself needs on its device.
    #[must_use]
    pub fn own(&self) -> Entry {
        Entry::Address(self.address().into())
    }

    /// What other nodes need on theirs to reach it, in the order in which no packet goes astray:
    /// the route comes last.
    #[must_use]
    pub fn entries(&self) -> [Entry; 3] {
        let (address, mac) = (self.address(), self.mac());
        [
            Entry::Forward { mac, node: self.node },
            Entry::Neighbour { address, mac },
            Entry::Route {
                subnet: self.subnet,
                via: Some(address),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_hardware_address_follow_from_the_subnet() {
        let site = Site {
            subnet: "10.42.7.0/24".parse().unwrap(),
            node: "192.0.2.7".parse().unwrap(),
        };
        assert_eq!(site.own().to_string(), "address 10.42.7.0/32");
        assert_eq!(
            site.entries().map(|entry| entry.to_string()),
            [
                "frames to 0a:58:0a:2a:07:00 by 192.0.2.7",
                "neighbour 10.42.7.0 at 0a:58:0a:2a:07:00",
                "route to 10.42.7.0/24 by 10.42.7.0"
            ]
        );
    }
}
