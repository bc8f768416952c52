//! What a Service holds.

use std::net::IpAddr;

use controlplane_store::Key;
use serde_json::Value;

use super::count;

/// What a Service holds: addresses and ports of the nodes, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ports: Vec<u16>,
}

impl Held {
    pub(super) fn of(service: &Value) -> Self {
        let Some(spec) = service.get("spec") else {
            return Self::default();
        };
        let list = |field: &str| spec.get(field).and_then(Value::as_array).into_iter().flatten();
        let addresses = list("clusterIPs").filter_map(Value::as_str);
        let node_ports = list("ports").map(|port| count(port, "nodePort"));
        let ports = node_ports.chain([count(spec, "healthCheckNodePort")]);
        let mut ports: Vec<u16> = ports.filter(|port| *port > 0).collect();
        ports.sort_unstable();
        ports.dedup();
        Self {
            addresses: addresses.filter_map(|text| text.parse().ok()).collect(),
            ports,
        }
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        let addresses = self.addresses.iter().filter_map(|address| address_key(*address));
        let ports = self.ports.iter().filter_map(|port| port_key(*port));
        addresses.chain(ports).collect()
    }
}

pub(super) fn address_key(address: IpAddr) -> Option<Key> {
    Key::parse(&format!("{}networking.k8s.io/ipaddresses/{address}", Key::ROOT)).ok()
}

pub(super) fn port_key(port: u16) -> Option<Key> {
    Key::parse(&format!("{}floe.dev/nodeports/{port}", Key::ROOT)).ok()
}
