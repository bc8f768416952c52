//! Rules for Endpoints and EndpointSlices.

use std::net::IpAddr;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::metadata;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const MAX_ADDRESSES: usize = 100;
const MAX_ENDPOINTS: usize = 1000;
const MAX_PORTS: usize = 100;

/// Upstream's words for a text that is no IP address.
pub(crate) const IP_RULE: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// What is wrong with an IP address as text.
pub(crate) fn ip_error(text: &str, path: &Path) -> Option<FieldError> {
    text.parse::<IpAddr>()
        .is_err()
        .then(|| path.invalid(text, IP_RULE))
}

/// What is wrong with the subsets of an Endpoints object.
pub(crate) fn subsets(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, subset) in read::list(object, "subsets").iter().enumerate() {
        let path = Path::new("subsets").index(index);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|list| read::list(subset, list).is_empty()) {
            errors.push(path.required("must specify `addresses` or `notReadyAddresses`"));
        }
        for list in lists {
            for (index, address) in read::list(subset, list).iter().enumerate() {
                errors.extend(reachable(
                    read::text(address, "ip"),
                    &path.child(list).index(index).child("ip"),
                ));
            }
        }
        errors.extend(ports(subset, &path));
    }
    errors
}

/// An address that a service may send traffic to: never the node itself or its link.
fn reachable(text: &str, path: &Path) -> Option<FieldError> {
    let Ok(address) = text.parse::<IpAddr>() else {
        return ip_error(text, path);
    };
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let rule = match () {
        () if address.is_unspecified() => format!("may not be unspecified ({text})"),
        () if address.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        () if link_local => "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        () if address.is_multicast() => {
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
        }
        () => return None,
    };
    Some(path.invalid(text, rule))
}

fn ports(subset: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let all = read::list(subset, "ports");
    for (index, port) in all.iter().enumerate() {
        let path = path.child("ports").index(index);
        let name = read::text(port, "name");
        if name.is_empty() && all.len() > 1 {
            errors.push(path.child("name").required(""));
        } else if !name.is_empty() {
            errors.extend(
                names::dns_label(name)
                    .into_iter()
                    .map(|rule| path.child("name").invalid(name, rule)),
            );
        }
        let number = read::count(port, "port");
        errors.extend(
            names::port_number(number)
                .into_iter()
                .map(|rule| path.child("port").invalid(number, rule)),
        );
        errors.extend(protocol_error(port, &path));
    }
    errors
}

/// What is wrong with the protocol of a port.
pub(crate) fn protocol_error(port: &Value, path: &Path) -> Option<FieldError> {
    let path = path.child("protocol");
    match read::text(port, "protocol") {
        "" => Some(path.required("")),
        known if PROTOCOLS.contains(&known) => None,
        other => Some(path.not_supported(other, &PROTOCOLS)),
    }
}

/// What is wrong with an EndpointSlice.
pub(crate) fn slice(object: &Value) -> Vec<FieldError> {
    let root = Path::default();
    let mut errors = Vec::new();
    let kind = read::text(object, "addressType");
    match kind {
        "" => errors.push(root.child("addressType").required("")),
        known if ADDRESS_TYPES.contains(&known) => {}
        other => errors.push(root.child("addressType").not_supported(other, &ADDRESS_TYPES)),
    }
    let endpoints = read::list(object, "endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        errors.push(root.child("endpoints").too_many(endpoints.len(), MAX_ENDPOINTS));
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        errors.extend(slice_addresses(
            endpoint,
            kind,
            &root.child("endpoints").index(index).child("addresses"),
        ));
    }
    errors.extend(slice_ports(object, &root.child("ports")));
    errors
}

fn slice_addresses(endpoint: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let addresses = read::texts(endpoint, "addresses");
    let mut errors = Vec::new();
    if addresses.is_empty() {
        errors.push(path.required("must contain at least 1 address"));
    }
    if addresses.len() > MAX_ADDRESSES {
        errors.push(path.too_many(addresses.len(), MAX_ADDRESSES));
    }
    for (index, address) in addresses.into_iter().enumerate() {
        let path = path.index(index);
        let parsed = address.parse::<IpAddr>();
        errors.extend(match (kind, parsed) {
            ("IPv4", Ok(IpAddr::V4(_))) | ("IPv6", Ok(IpAddr::V6(_))) => reachable(address, &path),
            ("IPv4", _) => Some(path.invalid(address, "must be a valid IPv4 address")),
            ("IPv6", _) => Some(path.invalid(address, "must be a valid IPv6 address")),
            ("FQDN", _) => names::dns_subdomain(address)
                .into_iter()
                .next()
                .map(|rule| path.invalid(address, rule)),
            _ => None,
        });
    }
    errors
}

fn slice_ports(object: &Value, path: &Path) -> Vec<FieldError> {
    let ports = read::list(object, "ports");
    let mut errors = Vec::new();
    if ports.len() > MAX_PORTS {
        errors.push(path.too_many(ports.len(), MAX_PORTS));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = read::text(port, "name");
        if !name.is_empty() {
            errors.extend(
                names::dns_label(name)
                    .into_iter()
                    .map(|rule| path.child("name").invalid(name, rule)),
            );
        }
        if seen.contains(&name) {
            errors.push(path.child("name").duplicate(name));
        }
        seen.push(name);
        if let Some(number) = read::integer(port, "port") {
            let rules = names::port_number(number);
            errors.extend(
                rules
                    .into_iter()
                    .map(|rule| path.child("port").invalid(number, rule)),
            );
        }
        errors.extend(protocol_error(port, &path));
    }
    errors
}

/// An EndpointSlice keeps its address type for life.
pub(crate) fn address_type_changed(new: &Value, old: &Value) -> Option<FieldError> {
    (new.get("addressType") != old.get("addressType"))
        .then(|| Path::new("addressType").invalid(read::text(new, "addressType"), metadata::IMMUTABLE))
}
