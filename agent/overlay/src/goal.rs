//! What should be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use cni_plugins_netlink::{Entry, OVERHEAD, Site, Tables, Vxlan, overlap};
use ipnet::Ipv4Net;

use crate::facts::NodeFacts;

/// Name of the device.
pub const DEVICE: &str = "floe.vx";
/// The VXLAN network identifier of the cluster.
const VNI: u32 = 42;
/// UDP port of the overlay, the one Linux used before one was assigned.
const PORT: u16 = 8472;
/// What an Ethernet link takes where the node's own is not known.
const ETHERNET: u32 = 1500;

/// This node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Name of its Node object.
    pub name: String,
    /// Its place in the overlay.
    pub site: Site,
    /// Addresses of all pods: a network outside of it is nobody's to claim.
    pub cluster: Ipv4Net,
    /// Names of links that are the pods' own: what leads through them is in nobody's way.
    pub links: Vec<String>,
}

/// What should be there, and which nodes are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// The device.
    pub device: Vxlan,
    /// All that belongs to it.
    pub entries: BTreeSet<Entry>,
    /// Nodes that cannot be reached through it, and why.
    pub skipped: BTreeSet<Skipped>,
}

/// A node that is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Its name.
    pub node: String,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} is left out of the overlay: {}",
            self.node, self.reason
        )
    }
}

/// Why a node has no place in the overlay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// The API server's controller has not given it one yet.
    #[error("it has no pod network yet")]
    NoSubnet,
    /// The text is no network.
    #[error("its pod network {0:?} is no network of IPv4 with room for pods")]
    Malformed(String),
    /// Traffic to addresses that are no pods' would go to it.
    #[error("its pod network {0} lies outside of the cluster's, {1} (key cluster_cidr)")]
    Outside(Ipv4Net, Ipv4Net),
    /// It has not said where it is.
    #[error("it has no internal address of IPv4")]
    NoAddress,
    /// The text is no address of a node.
    #[error("its internal address {0:?} is none that a node can have")]
    BadAddress(String),
    /// An older node, or this one, has that network.
    #[error("its pod network {0} overlaps {1} of node {2}")]
    Taken(Ipv4Net, Ipv4Net, String),
    /// It says that it is where this node is.
    #[error("its internal address {0} is this node's own")]
    SameAddress(Ipv4Addr),
    /// This machine needs that network for something else.
    #[error("its pod network {0} overlaps {1}, which this node reaches through link {2}")]
    InUse(Ipv4Net, Ipv4Net, String),
}

/// What a node needs that is `own` among `nodes`, where the kernel has `tables`.
///
/// Of nodes whose networks overlap the oldest keeps its own, so that nobody can take away the
/// network of a node that is reached already.
#[must_use]
pub fn goal(own: &Own, nodes: &BTreeMap<String, NodeFacts>, tables: &Tables) -> Goal {
    let mut claims = Claims::new(own, tables);
    let mut entries = BTreeSet::from([own.site.own()]);
    let mut skipped = BTreeSet::new();
    let mut peers: Vec<_> = nodes.iter().filter(|(name, _)| **name != own.name).collect();
    peers.sort_by_key(|(name, facts)| (&facts.since, *name));
    for (name, facts) in peers {
        match facts.site().and_then(|site| claims.admit(name, site)) {
            Ok(site) => entries.extend(site.entries()),
            Err(reason) => drop(skipped.insert(Skipped {
                node: name.clone(),
                reason,
            })),
        }
    }
    Goal {
        device: device(own.site, tables),
        entries,
        skipped,
    }
}

fn device(site: Site, tables: &Tables) -> Vxlan {
    Vxlan {
        name: DEVICE.to_owned(),
        vni: VNI,
        port: PORT,
        local: site.node,
        mac: site.mac(),
        mtu: mtu(site.node, tables),
    }
}

/// The largest packet of a pod that fits into one of the link with the node's address.
pub(crate) fn mtu(node: Ipv4Addr, tables: &Tables) -> u32 {
    let uplink = tables.with_address(node).map_or(ETHERNET, |link| link.mtu);
    uplink.saturating_sub(OVERHEAD)
}

/// Networks that are given already.
struct Claims<'a> {
    own: &'a Own,
    /// By their first address; none overlaps another.
    given: BTreeMap<Ipv4Addr, (Ipv4Net, &'a str)>,
    foreign: Vec<(Ipv4Net, String)>,
}

impl<'a> Claims<'a> {
    fn new(own: &'a Own, tables: &Tables) -> Self {
        let subnet = own.site.subnet;
        Self {
            own,
            given: BTreeMap::from([(subnet.network(), (subnet, own.name.as_str()))]),
            foreign: foreign(own, tables),
        }
    }

    fn admit(&mut self, name: &'a str, site: Site) -> Result<Site, Reason> {
        let Site { subnet, node } = site;
        let cluster = self.own.cluster;
        if !cluster.contains(&subnet) {
            return Err(Reason::Outside(subnet, cluster));
        }
        if node == self.own.site.node {
            return Err(Reason::SameAddress(node));
        }
        // Of networks that do not overlap only the last that begins before the end can reach in.
        let before = self.given.range(..=subnet.broadcast()).next_back();
        if let Some((_, (other, owner))) = before.filter(|(_, (other, _))| overlap(*other, subnet)) {
            return Err(Reason::Taken(subnet, *other, (*owner).to_owned()));
        }
        if let Some((net, link)) = self.foreign.iter().find(|(net, _)| overlap(*net, subnet)) {
            return Err(Reason::InUse(subnet, *net, link.clone()));
        }
        self.given.insert(subnet.network(), (subnet, name));
        Ok(site)
    }
}

/// Networks of this machine that are not the pods'.
pub(crate) fn foreign(own: &Own, tables: &Tables) -> Vec<(Ipv4Net, String)> {
    let links: Vec<&str> = own.links.iter().map(String::as_str).chain([DEVICE]).collect();
    tables.foreign(&links)
}

#[cfg(test)]
mod tests;
