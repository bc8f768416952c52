//! What is still free in the service range and among node ports.

use std::net::{IpAddr, Ipv4Addr};

use controlplane_api::field::Path;
use controlplane_api::{ApiError, FieldError};
use controlplane_store::Store;
use ipnet::IpNet;
use serde_json::Value;

use super::count;
use super::held::{Held, address_key, port_key};
use crate::call::Call;

/// Ports that `NodePort` Services get.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// How often a random pick may be taken before all are tried in order.
const PICKS: usize = 32;

/// Picks addresses and ports that nobody holds; a race that this misses is refused by the store.
#[derive(Debug)]
pub(super) struct Free<'a> {
    store: &'a Store,
    range: IpNet,
    dns: IpAddr,
    /// Ports that the Service at hand has, had or was given a moment ago.
    ports: Vec<u16>,
}

impl<'a> Free<'a> {
    pub(super) fn new(call: &'a Call, held: &Held, wanted: &Held) -> Self {
        Self {
            store: call.store(),
            range: call.server.service_cidr,
            dns: call.server.cluster_dns,
            ports: held.ports.iter().chain(&wanted.ports).copied().collect(),
        }
    }

    /// A free port of the nodes.
    ///
    /// # Errors
    ///
    /// 500 where there is none.
    pub(super) fn port(&mut self) -> Result<u16, ApiError> {
        let free = |port: &u16| !self.ports.contains(port) && !self.is_port_taken(*port);
        let picks = (0..PICKS).map(|_| rand::random_range(NODE_PORTS));
        let port = picks.chain(NODE_PORTS).find(free);
        let port = port.ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))?;
        self.ports.push(port);
        Ok(port)
    }

    /// A free address, never the DNS server's; the low part of the range is left to those who choose their
    /// own.
    ///
    /// # Errors
    ///
    /// 500 where there is none.
    pub(super) fn address(&self) -> Result<IpAddr, ApiError> {
        let full = || ApiError::internal("failed to allocate a serviceIP: range is full");
        let IpNet::V4(range) = self.range else {
            return Err(full());
        };
        let first = u32::from(range.network());
        let size = u32::from(range.broadcast()) - first;
        let low = (size / 16).clamp(16, 256).min(size);
        let at = |offset: u32| IpAddr::V4(Ipv4Addr::from(first.saturating_add(offset)));
        let picks = (0..PICKS)
            .filter(|_| low < size)
            .map(|_| rand::random_range(low..size));
        // Offset 1 is the Service `kubernetes`.
        let in_order = (low..size).chain(2..low);
        let mut offered = picks.chain(in_order).map(at);
        offered
            .find(|address| *address != self.dns && !self.is_address_taken(*address))
            .ok_or_else(full)
    }

    fn is_port_taken(&self, port: u16) -> bool {
        port_key(port).is_none_or(|key| self.store.get(&key).is_some())
    }

    fn is_address_taken(&self, address: IpAddr) -> bool {
        address_key(address).is_none_or(|key| self.store.get(&key).is_some())
    }

    /// Refuses what `service` asks for beyond what it holds, where that is outside the ranges or taken.
    ///
    /// # Errors
    ///
    /// Upstream's words about the field.
    pub(super) fn check(&self, held: &Held, service: &Value) -> Result<(), FieldError> {
        let addresses = Held::of(service).addresses.into_iter();
        for address in addresses.filter(|address| !held.addresses.contains(address)) {
            let why = match () {
                () if !self.is_usable(address) => format!(
                    "the provided IP ({address}) is not in the valid range. The range of valid IPs is {}",
                    self.range
                ),
                () if self.is_address_taken(address) => "provided IP is already allocated".to_owned(),
                () => continue,
            };
            let shown = service.pointer("/spec/clusterIPs").cloned().unwrap_or_default();
            let why = format!("failed to allocate IP {address}: {why}");
            return Err(Path::new("spec.clusterIPs").invalid(shown, why));
        }
        self.check_ports(held, service)
    }

    /// Neither the network's own address nor the broadcast one.
    fn is_usable(&self, address: IpAddr) -> bool {
        let ends = [self.range.network(), self.range.broadcast()];
        self.range.contains(&address) && !ends.contains(&address)
    }

    fn check_ports(&self, held: &Held, service: &Value) -> Result<(), FieldError> {
        let spec = service.get("spec");
        let ports = spec.and_then(|spec| spec.get("ports")).and_then(Value::as_array);
        let each = ports.into_iter().flatten().enumerate().map(|(index, port)| {
            let path = Path::new("spec.ports").index(index).child("nodePort");
            (count(port, "nodePort"), path)
        });
        let health = spec
            .map(|spec| count(spec, "healthCheckNodePort"))
            .unwrap_or_default();
        let all = each.chain([(health, Path::new("spec.healthCheckNodePort"))]);
        for (port, path) in all.filter(|(port, _)| *port != 0 && !held.ports.contains(port)) {
            if !NODE_PORTS.contains(&port) {
                return Err(path.invalid(
                    port,
                    "provided port is not in the valid range. The range of valid ports is 30000-32767",
                ));
            }
            if self.is_port_taken(port) {
                return Err(path.invalid(port, "provided port is already allocated"));
            }
        }
        Ok(())
    }
}
