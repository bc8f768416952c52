//! What leads through a VXLAN device.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;

/// A hardware address of six bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = std::num::ParseIntError;

    /// Six hexadecimal numbers; missing ones are 0.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut mac = [0; 6];
        for (byte, part) in mac.iter_mut().zip(text.split(':')) {
            *byte = u8::from_str_radix(part, 16)?;
        }
        Ok(Self(mac))
    }
}

/// An entry of one of the kernel's tables that belongs to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// An address of the link's own.
    Address(Ipv4Net),
    /// Frames to `mac` travel to `node` (an entry of the forwarding database, permanent).
    Forward {
        /// The other end's hardware address.
        mac: Mac,
        /// The node that has it.
        node: Ipv4Addr,
    },
    /// `address` has `mac` (a permanent neighbour: nothing is asked).
    Neighbour {
        /// The neighbour.
        address: Ipv4Addr,
        /// Its hardware address.
        mac: Mac,
    },
    /// Packets to `subnet` go to the neighbour `via`, which is on the link whatever the link's own
    /// addresses are. Without `via`, `subnet` itself is on the link.
    Route {
        /// Where to.
        subnet: Ipv4Net,
        /// The neighbour.
        via: Option<Ipv4Addr>,
    },
}

/// What can be there once for each link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Of an address.
    Address(Ipv4Net),
    /// Of a forwarding entry.
    Forward(Mac),
    /// Of a neighbour.
    Neighbour(Ipv4Addr),
    /// Of a route.
    Route(Ipv4Net),
}

impl Entry {
    /// What another entry must have in common with this one to take its place.
    #[must_use]
    pub const fn key(&self) -> Key {
        match *self {
            Self::Address(address) => Key::Address(address),
            Self::Forward { mac, .. } => Key::Forward(mac),
            Self::Neighbour { address, .. } => Key::Neighbour(address),
            Self::Route { subnet, .. } => Key::Route(subnet),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address}"),
            Self::Forward { mac, node } => write!(f, "frames to {mac} by {node}"),
            Self::Neighbour { address, mac } => write!(f, "neighbour {address} at {mac}"),
            Self::Route {
                subnet,
                via: Some(via),
            } => write!(f, "route to {subnet} by {via}"),
            Self::Route { subnet, via: None } => write!(f, "route to {subnet}"),
        }
    }
}
