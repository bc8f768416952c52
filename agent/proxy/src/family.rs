//! Address families, and the names that each gives to sets and chains.

use std::net::IpAddr;
use std::sync::Arc;

use cni_plugins_nft::{FieldKind, fnv1a};
use ipnet::IpNet;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(crate) const fn of_net(net: &IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }

    /// Whether clients with affinity are remembered. Those of IPv6 are not: client, service and endpoint
    /// together do not fit in the registers that nft uses (1.0.6 aborts); their address decides.
    pub(crate) const fn remembers(self) -> bool {
        matches!(self, Self::V4)
    }

    /// The digit at the end of names.
    pub(crate) const fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }

    /// The protocol's name in rules.
    pub(crate) const fn ip(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    pub(crate) const fn loopback(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.0/8",
            Self::V6 => "::1",
        }
    }

    pub(crate) const fn addr(self) -> FieldKind {
        match self {
            Self::V4 => FieldKind::Addr4,
            Self::V6 => FieldKind::Addr6,
        }
    }

    /// The name `stem` in this family.
    pub(crate) fn name(self, stem: &str) -> Arc<str> {
        format!("{stem}{}", self.digit()).into()
    }
}

/// How a port is reached, which decides what keys look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// By an address of the service: keys are address, protocol and port.
    Address,
    /// By any address of the node: keys are protocol and port.
    Node,
}

impl Scope {
    pub(crate) const BOTH: [Self; 2] = [Self::Address, Self::Node];

    /// The verdict map that every packet is looked up in.
    pub(crate) fn services(self, family: Family) -> Arc<str> {
        family.name(match self {
            Self::Address => "services",
            Self::Node => "node-ports",
        })
    }

    /// The verdict map for `externalTrafficPolicy: Local`, which packets from outside see first.
    pub(crate) fn local_services(self, family: Family) -> Arc<str> {
        family.name(match self {
            Self::Address => "local-services",
            Self::Node => "local-node-ports",
        })
    }

    /// The map from a key to its endpoint number `slot`.
    pub(crate) fn endpoints(self, family: Family, slot: usize) -> Arc<str> {
        let stem = self.endpoints_stem();
        format!("{stem}{}-{slot}", family.digit()).into()
    }

    const fn endpoints_stem(self) -> &'static str {
        match self {
            Self::Address => "endpoints",
            Self::Node => "node-endpoints",
        }
    }

    /// The chain that sends a packet to its endpoint number `slot`.
    pub(crate) fn slot(self, family: Family, slot: usize) -> Arc<str> {
        format!("to-{}{}-{slot}", self.endpoints_stem(), family.digit()).into()
    }

    /// The verdict map of keys with session affinity.
    pub(crate) fn affine(self, family: Family) -> Arc<str> {
        family.name(match self {
            Self::Address => "affine-services",
            Self::Node => "affine-node-ports",
        })
    }

    /// The verdict map that tells which packets get the node's address as their source.
    pub(crate) fn masquerade(self, family: Family) -> Arc<str> {
        family.name(match self {
            Self::Address => "masquerade-services",
            Self::Node => "masquerade-node-ports",
        })
    }
}

/// Cluster addresses of services; what asks them for another port is refused.
pub(crate) fn cluster_addresses(family: Family) -> Arc<str> {
    family.name("cluster-addresses")
}

/// Addresses of load balancers.
pub(crate) fn balancer_addresses(family: Family) -> Arc<str> {
    family.name("balancer-addresses")
}

/// Addresses that the node itself answers.
pub(crate) fn node_local(family: Family) -> Arc<str> {
    family.name("node-local")
}

/// Endpoints that may reach themselves through a service.
pub(crate) fn hairpin(family: Family) -> Arc<str> {
    family.name("hairpin")
}

/// Clients and the endpoints they stay with; filled by packets.
pub(crate) fn affinity(family: Family) -> Arc<str> {
    family.name("affinity")
}

/// The chain that refuses a packet.
pub(crate) const REFUSE: &str = "refuse";
/// The chain that always masquerades.
pub(crate) const MASQUERADE_ALL: &str = "from-all";
/// The chain that masquerades what the node itself sends.
pub(crate) const MASQUERADE_OWN: &str = "from-node";

/// The chain that notes a client's endpoint for `seconds`.
pub(crate) fn remember(family: Family, seconds: u32) -> Arc<str> {
    format!("remember{}-{seconds}", family.digit()).into()
}

/// The verdict map of load balancers that not everybody may use.
pub(crate) fn restricted(family: Family) -> Arc<str> {
    family.name("restricted-services")
}

/// The chain that drops what comes from elsewhere than `sources`.
pub(crate) fn sources(family: Family, sources: &[IpNet]) -> Arc<str> {
    let text: Vec<String> = sources.iter().map(ToString::to_string).collect();
    let hash = fnv1a(text.join(" ").as_bytes());
    format!("sources{}-{hash:016x}", family.digit()).into()
}
