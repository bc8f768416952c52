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

/// Where what clients sent to `destination` leads now, where it is a target that has changed: an address
/// of its own, or a node port, which is on `local` addresses alone.
fn now<'a>(
    changed: &'a Changed,
    local: &[IpAddr],
    protocol: Protocol,
    destination: SocketAddr,
) -> Option<&'a Reached> {
    let by = |addr| {
        changed.get(&Target {
            addr,
            protocol,
            port: destination.port(),
        })
    };
    let here = || local.contains(&destination.ip());
    by(Some(destination.ip())).or_else(|| by(None).filter(|_| here()))
}

/// Those of `flows` whose endpoint is none of its target's any more. `local` are the addresses of the
/// node, all of which serve node ports.
pub fn stale_flows<'a>(
    flows: &'a [Flow],
    changed: &'a Changed,
    local: &'a [IpAddr],
) -> impl Iterator<Item = &'a Flow> {
    flows.iter().filter(move |flow| {
        let reached = now(changed, local, Protocol::Udp, flow.destination);
        reached.is_some_and(|reached| !reached.endpoints.contains(&flow.server))
    })
}

/// Those of `clients` (elements of the affinity map) whose endpoint is none of its target's any more,
/// or whose target has no affinity any more.
pub fn stale_clients<'a>(
    clients: &'a [Element],
    changed: &'a Changed,
    local: &'a [IpAddr],
) -> impl Iterator<Item = &'a ElementKey> {
    let stale = move |element: &&Element| {
        let [_, Field::Addr(addr), Field::Protocol(protocol), Field::Port(port)] =
            *element.key.key.0.as_slice()
        else {
            return false;
        };
        let Some(reached) = now(changed, local, protocol, SocketAddr::new(addr, port)) else {
            return false;
        };
        let endpoint = Reached::endpoint(&element.value);
        !reached.affine || endpoint.is_none_or(|endpoint| !reached.endpoints.contains(&endpoint))
    };
    clients.iter().filter(stale).map(|element| &element.key)
}
