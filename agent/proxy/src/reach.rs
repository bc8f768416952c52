//! Which endpoints a port leads to, by traffic policy (KEP-1669, KEP-2086).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::family::Family;
use crate::service::Port;
use crate::slice::{Readiness, Slice};

/// The endpoints of one port in one address family, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reach {
    /// For the policy `Cluster`: the ready ones of all nodes, else those that serve until they end.
    pub(crate) cluster: Vec<SocketAddr>,
    /// For the policy `Local`: the same of this node alone.
    pub(crate) local: Vec<SocketAddr>,
    /// Those that may be on this node, so that they may reach themselves through the service.
    pub(crate) near: BTreeSet<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    Elsewhere,
    Unknown,
}

/// Collects the endpoints of `port` from the slices of its service.
pub(crate) fn reach<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    port: &Port,
    family: Family,
    node: &str,
) -> Reach {
    let mut all: BTreeMap<SocketAddr, (Readiness, Place)> = BTreeMap::new();
    for (addr, readiness, place) in slices.flat_map(|slice| endpoints(slice, port, node)) {
        if Family::of(addr.ip()) != family {
            continue;
        }
        // One endpoint can be in two slices while it moves from one to the other: the better counts.
        let known = all.entry(addr).or_insert((readiness, place));
        known.0 = known.0.min(readiness);
    }
    let choose = |wanted: &dyn Fn(Place) -> bool| {
        let of = |readiness| {
            all.iter()
                .filter(move |(_, (found, place))| *found == readiness && wanted(*place))
                .map(|(addr, _)| *addr)
                .collect::<Vec<_>>()
        };
        let ready = of(Readiness::Ready);
        if ready.is_empty() {
            return of(Readiness::ServingTerminating);
        }
        ready
    };
    Reach {
        cluster: choose(&|_| true),
        local: choose(&|place| place == Place::Here),
        near: all
            .iter()
            .filter(|(_, (_, place))| *place != Place::Elsewhere)
            .map(|(addr, _)| *addr)
            .collect(),
    }
}

fn endpoints<'a>(
    slice: &'a Slice,
    port: &'a Port,
    node: &'a str,
) -> impl Iterator<Item = (SocketAddr, Readiness, Place)> + 'a {
    let numbers = slice
        .ports
        .iter()
        .filter(|(name, protocol, _)| *name == port.name && *protocol == port.protocol);
    numbers.flat_map(move |(_, _, number)| {
        slice.endpoints.iter().map(move |endpoint| {
            let place = match endpoint.node.as_deref() {
                None => Place::Unknown,
                Some(name) if name == node => Place::Here,
                Some(_) => Place::Elsewhere,
            };
            (SocketAddr::new(endpoint.addr, *number), endpoint.readiness, place)
        })
    })
}
