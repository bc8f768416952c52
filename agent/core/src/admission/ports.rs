//! Ports of the node that pods ask for.

use k8s_openapi::api::core::v1::PodSpec;

use crate::policy::lasting;

/// A port of the node: protocol, address and number.
type HostPort = (String, String, i32);

/// Whether one of the others has a port of the node that this pod wants.
pub(super) fn taken<'a>(spec: &PodSpec, others: impl Iterator<Item = &'a PodSpec>) -> bool {
    let wanted = host_ports(spec);
    let mut others = others;
    !wanted.is_empty()
        && others.any(|other| {
            let held = host_ports(other);
            wanted
                .iter()
                .any(|want| held.iter().any(|have| collide(want, have)))
        })
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let ports = lasting(spec).flat_map(|container| container.ports.iter().flatten());
    let on_host = spec.host_network == Some(true);
    let host_port = ports.filter_map(|port| {
        let own = on_host.then_some(port.container_port);
        let number = port.host_port.filter(|number| *number > 0).or(own)?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let address = port.host_ip.clone().filter(|ip| !ip.is_empty());
        Some((protocol, address.unwrap_or_else(|| EVERY.to_owned()), number))
    });
    host_port.collect()
}

/// The address that stands for all.
const EVERY: &str = "0.0.0.0";

fn collide(left: &HostPort, right: &HostPort) -> bool {
    let same_address = left.1 == right.1 || [&left.1, &right.1].iter().any(|ip| ip.as_str() == EVERY);
    left.0 == right.0 && left.2 == right.2 && same_address
}
