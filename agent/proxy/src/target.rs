//! What clients connect to, and what the kernel remembers of connections that have lost their endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use cni_plugins_nft::{Change, Element, ElementKey, Field, Flow, Protocol, Tuple, Value};

use crate::family::{Family, Scope};

/// A port that clients connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The service's address; none for a node port.
    pub addr: Option<IpAddr>,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

impl Target {
    /// The target of the element `key`; `None` where the element is about something else.
    #[must_use]
    pub fn of(key: &ElementKey) -> Option<Self> {
        match *key.key.0.as_slice() {
            [Field::Addr(addr), Field::Protocol(protocol), Field::Port(port)] => Some(Self {
                addr: Some(addr),
                protocol,
                port,
            }),
            [Field::Protocol(protocol), Field::Port(port)] => Some(Self {
                addr: None,
                protocol,
                port,
            }),
            _ => None,
        }
    }

    /// The targets that `changes` are about.
    #[must_use]
    pub fn of_changes(changes: &[Change]) -> BTreeSet<Self> {
        changes
            .iter()
            .filter_map(|change| Self::of(change.key()))
            .collect()
    }

    pub(crate) const fn scope(&self) -> Scope {
        match self.addr {
            Some(_) => Scope::Address,
            None => Scope::Node,
        }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        self.addr
            .map_or_else(|| vec![Family::V4, Family::V6], |addr| vec![Family::of(addr)])
    }

    pub(crate) fn key(&self) -> Tuple {
        let addr = self.addr.map(Field::Addr);
        let rest = [Field::Protocol(self.protocol), Field::Port(self.port)];
        Tuple(addr.into_iter().chain(rest).collect())
    }
}

/// Where a target leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reached {
    /// Its endpoints.
    pub endpoints: BTreeSet<SocketAddr>,
    /// Whether clients stay with theirs.
    pub affine: bool,
}

impl Reached {
    pub(crate) fn endpoint(value: &Value) -> Option<SocketAddr> {
        let Value::Tuple(Tuple(fields)) = value else {
            return None;
        };
        match *fields.as_slice() {
            [Field::Addr(addr), Field::Port(port)] => Some(SocketAddr::new(addr, port)),
            _ => None,
        }
    }
}

/// Targets that have changed, with where they lead now.
pub type Changed = BTreeMap<Target, Reached>;

/// Those of `flows` whose endpoint is none of its target's any more.
pub fn stale_flows<'a>(
    flows: &'a [Flow],
    changed: &'a Changed,
    node_addresses: &'a [IpAddr],
) -> impl Iterator<Item = &'a Flow> {
    let reached = move |flow: &Flow| {
        let target = |addr| Target {
            addr,
            protocol: Protocol::Udp,
            port: flow.destination.port(),
        };
        let ip = flow.destination.ip();
        let by_address = changed.get(&target(Some(ip)));
        by_address.or_else(|| {
            let own = node_addresses.contains(&ip);
            own.then(|| changed.get(&target(None))).flatten()
        })
    };
    flows
        .iter()
        .filter(move |flow| reached(flow).is_some_and(|reached| !reached.endpoints.contains(&flow.server)))
}

/// Those of `clients` (elements of the affinity map) whose endpoint is none of its target's any more,
/// or whose target has no affinity any more.
pub fn stale_clients<'a>(
    clients: &'a [Element],
    changed: &'a Changed,
) -> impl Iterator<Item = &'a ElementKey> {
    let stale = move |element: &&Element| {
        let [_, Field::Addr(addr), Field::Protocol(protocol), Field::Port(port)] =
            *element.key.key.0.as_slice()
        else {
            return false;
        };
        let by = |addr| changed.get(&Target { addr, protocol, port });
        let Some(reached) = by(Some(addr)).or_else(|| by(None)) else {
            return false;
        };
        let endpoint = Reached::endpoint(&element.value);
        !reached.affine || endpoint.is_none_or(|endpoint| !reached.endpoints.contains(&endpoint))
    };
    clients.iter().filter(stale).map(|element| &element.key)
}
