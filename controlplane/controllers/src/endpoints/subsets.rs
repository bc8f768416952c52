//! Addresses and ports of a Service in the form of Endpoints. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Service, ServiceSpec};

use crate::backends::Backend;
use crate::endpointslice::{family, is_headless};

/// Addresses in one Endpoints object at most, as upstream.
pub(super) const CAPACITY: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    name: String,
    number: i32,
    protocol: String,
    app_protocol: Option<String>,
}

/// An address; ready and waiting ones of the same ports lie in one subset.
#[derive(Debug, Clone, Default)]
struct Entry {
    ports: BTreeSet<Port>,
    address: EndpointAddress,
    ready: bool,
}

/// The subsets of `service` among the pods that it selects: one for each set of ports.
pub(super) fn subsets(service: &Service, pods: &[Arc<Backend>]) -> Vec<EndpointSubset> {
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let publishes = spec.publish_not_ready_addresses == Some(true);
    let mut by_ports: BTreeMap<BTreeSet<Port>, Vec<(EndpointAddress, bool)>> = BTreeMap::new();
    let usable = pods
        .iter()
        .filter(|pod| !pod.ended && (publishes || !pod.terminating));
    for entry in usable.filter_map(|pod| entry(service, spec, pod, publishes)) {
        let addresses = by_ports.entry(entry.ports).or_default();
        addresses.push((entry.address, entry.ready));
    }
    by_ports.into_iter().map(subset).collect()
}

fn entry(service: &Service, spec: &ServiceSpec, pod: &Backend, publishes: bool) -> Option<Entry> {
    let wanted = spec.ip_families.iter().flatten().next();
    let wanted = wanted.map_or("IPv4", String::as_str);
    let address = pod.addresses.iter().find(|address| family(address) == wanted)?;
    let stated = spec.ports.as_deref().unwrap_or_default();
    let ports: BTreeSet<Port> = stated
        .iter()
        .filter_map(|port| {
            Some(Port {
                name: port.name.clone().unwrap_or_default(),
                number: pod.port(port)?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    // Only a headless Service may do without ports altogether.
    if ports.is_empty() && !(stated.is_empty() && is_headless(spec)) {
        return None;
    }
    Some(Entry {
        ports,
        address: EndpointAddress {
            ip: address.to_string(),
            hostname: pod.hostname_in(service),
            node_name: pod.node.clone(),
            target_ref: Some(pod.reference()),
        },
        ready: publishes || pod.ready,
    })
}

fn subset((ports, addresses): (BTreeSet<Port>, Vec<(EndpointAddress, bool)>)) -> EndpointSubset {
    let list = |wanted: bool| {
        let mut list: Vec<EndpointAddress> = addresses
            .iter()
            .filter(|(_, ready)| *ready == wanted)
            .map(|(address, _)| address.clone())
            .collect();
        list.sort_by(|one, other| one.ip.cmp(&other.ip));
        (!list.is_empty()).then_some(list)
    };
    let ports: Vec<EndpointPort> = ports
        .into_iter()
        .map(|port| EndpointPort {
            name: (!port.name.is_empty()).then_some(port.name),
            port: port.number,
            protocol: Some(port.protocol),
            app_protocol: port.app_protocol,
        })
        .collect();
    EndpointSubset {
        addresses: list(true),
        not_ready_addresses: list(false),
        ports: (!ports.is_empty()).then_some(ports),
    }
}

/// Cuts `subsets` down to [`CAPACITY`] addresses, those that wait before those that are ready, and
/// all subsets in like measure; tells whether anything was cut.
pub(super) fn truncate(subsets: &mut Vec<EndpointSubset>) -> bool {
    let count = |list: fn(&EndpointSubset) -> &Option<Vec<EndpointAddress>>, subsets: &[EndpointSubset]| {
        let lists = subsets.iter().filter_map(|subset| list(subset).as_ref());
        lists.map(Vec::len).sum::<usize>()
    };
    let ready = count(|subset| &subset.addresses, subsets);
    let waiting = count(|subset| &subset.not_ready_addresses, subsets);
    if ready + waiting <= CAPACITY {
        return false;
    }
    if ready > CAPACITY {
        for subset in subsets.iter_mut() {
            subset.not_ready_addresses = None;
        }
        share(
            subsets.iter_mut().map(|subset| &mut subset.addresses),
            ready,
            CAPACITY,
        );
    } else {
        let lists = subsets.iter_mut().map(|subset| &mut subset.not_ready_addresses);
        share(lists, waiting, CAPACITY - ready);
    }
    subsets.retain(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    true
}

/// Leaves `room` addresses in lists of `total` addresses, to each its share rounded up, the last
/// ones what is left.
fn share<'a>(lists: impl Iterator<Item = &'a mut Option<Vec<EndpointAddress>>>, total: usize, room: usize) {
    let mut left = room;
    for list in lists {
        let Some(addresses) = list else { continue };
        let part = (addresses.len() * room).div_ceil(total.max(1)).min(left);
        addresses.truncate(part);
        left -= addresses.len();
        if addresses.is_empty() {
            *list = None;
        }
    }
}
