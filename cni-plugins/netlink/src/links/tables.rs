//! The kernel's tables at one moment.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::entry::Entry;
use crate::link::Link;

/// Links, and what belongs to each: addresses and unicast routes of the main table, permanent
/// neighbours, permanent forwarding entries; all of IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// The links.
    pub links: Vec<Link>,
    /// Entries with the index of their link.
    pub entries: BTreeSet<(u32, Entry)>,
}

impl Tables {
    /// The link of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The entries of one link.
    pub fn of(&self, index: u32) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |(of, _)| *of == index)
            .map(|(_, entry)| entry)
    }

    /// The link that has `address`: by it the node is reached.
    #[must_use]
    pub fn with_address(&self, address: Ipv4Addr) -> Option<&Link> {
        let has = |entry: &Entry| matches!(entry, Entry::Address(net) if net.addr() == address);
        let (index, _) = self.entries.iter().find(|(_, entry)| has(entry))?;
        self.links.iter().find(|link| link.index == *index)
    }

    /// Networks of addresses and routes of links other than `own`, and the links' names. The default
    /// route is not one.
    #[must_use]
    pub fn foreign(&self, own: &[&str]) -> Vec<(Ipv4Net, String)> {
        let foreign = |(index, entry): &(u32, Entry)| {
            let net = match entry {
                Entry::Address(net) => net.trunc(),
                Entry::Route { subnet, .. } if subnet.prefix_len() > 0 => *subnet,
                _ => return None,
            };
            let link = self.links.iter().find(|link| link.index == *index)?;
            (!own.contains(&link.name.as_str())).then(|| (net, link.name.clone()))
        };
        self.entries.iter().filter_map(foreign).collect()
    }
}

/// Whether two networks have an address in common.
#[must_use]
pub fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}
