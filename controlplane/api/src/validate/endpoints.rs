//! Rules for Endpoints and EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::names::{self, NameCheck};
use crate::read;
use crate::validate::{address, metadata, naming};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const MAX_ADDRESSES: usize = 100;
const MAX_ENDPOINTS: usize = 1000;
/// A Service may have many more ports than the field's description says; so do its slices, as upstream.
const MAX_PORTS: usize = 20_000;
const MAX_TOPOLOGY: usize = 16;
const MAX_HINTS: usize = 8;

/// Upstream's words for a text that is no IP address.
pub(crate) const IP_RULE: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// Upstream's words for a text that is no range of addresses.
pub(crate) const CIDR_RULE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// What is wrong with an IP address as text.
pub(crate) fn ip_error(text: &str, path: &Path) -> Option<FieldError> {
    let rule = address::ip(text).into_iter().next()?;
    Some(path.invalid(text, rule))
}

/// What is wrong with the subsets of an Endpoints object; the addresses that `old` has may stay as they are.
pub(crate) fn subsets(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let kept: Vec<&str> = old.map(addresses).unwrap_or_default();
    let mut errors = Vec::new();
    for (index, subset) in read::list(object, "subsets").iter().enumerate() {
        let path = Path::new("subsets").index(index);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|list| read::list(subset, list).is_empty()) {
            errors.push(path.required("must specify `addresses` or `notReadyAddresses`"));
        }
        for list in lists {
            for (index, address) in read::list(subset, list).iter().enumerate() {
                let path = path.child(list).index(index);
                let (ip, at) = (read::text(address, "ip"), path.child("ip"));
                let rules = address::ip_or_kept(ip, &kept).into_iter();
                errors.extend(rules.map(|rule| at.invalid(ip, rule)));
                errors.extend(naming::optional(names::dns_label, address, "hostname", &path));
                errors.extend(node(address, &path));
                errors.extend(special(ip, &at));
            }
        }
        errors.extend(ports(subset, &path));
    }
    errors
}

/// The addresses of an Endpoints object, ready and not.
fn addresses(object: &Value) -> Vec<&str> {
    let subsets = read::list(object, "subsets").iter();
    let lists = subsets.flat_map(|subset| {
        let (ready, waiting) = (
            read::list(subset, "addresses"),
            read::list(subset, "notReadyAddresses"),
        );
        ready.iter().chain(waiting)
    });
    lists.map(|address| read::text(address, "ip")).collect()
}

/// What is wrong with the node of an endpoint.
fn node(endpoint: &Value, path: &Path) -> Vec<FieldError> {
    if !read::present(endpoint, "nodeName") {
        return Vec::new();
    }
    let name = read::text(endpoint, "nodeName");
    naming::broken(names::dns_subdomain, name, &path.child("nodeName"))
}

/// What is wrong with an address that only stands for this node, its link, or none.
pub(crate) fn special(text: &str, path: &Path) -> Option<FieldError> {
    let Some(address) = address::loose_ip(text) else {
        return Some(path.invalid(text, "must be a valid IP address"));
    };
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let rule = match () {
        () if address.is_unspecified() => format!("may not be unspecified ({text})"),
        () if address.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        () if link_local => "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        () if is_link_local_multicast(address) => {
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
        }
        () => return None,
    };
    Some(path.invalid(text, rule))
}

/// 224.0.0.0/24 and ff02::/16, which no router passes on.
fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(v6) => v6
            .segments()
            .first()
            .is_some_and(|first| first & 0xff0f == 0xff02),
    }
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
        errors.extend(port_number_error(port, "port", &path));
        errors.extend(protocol_error(port, &path));
        errors.extend(app_protocol_errors(port, &path));
    }
    errors
}

/// What is wrong with the number of a port.
pub(crate) fn port_number_error(port: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let (number, path) = (read::count(port, field), path.child(field));
    let rules = names::port_number(number).into_iter();
    rules.map(|rule| path.invalid(number, rule)).collect()
}

/// What is wrong with the name of the protocol that an application speaks.
pub(crate) fn app_protocol_errors(port: &Value, path: &Path) -> Vec<FieldError> {
    let (protocol, path) = (read::text(port, "appProtocol"), path.child("appProtocol"));
    if !read::present(port, "appProtocol") {
        return Vec::new();
    }
    let rules = names::qualified_name(protocol).into_iter();
    rules.map(|rule| path.invalid(protocol, rule)).collect()
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

/// What is wrong with an EndpointSlice; the endpoints that `old` has may stay as they are.
pub(crate) fn slice(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let root = Path::default();
    let mut errors = Vec::new();
    let kind = read::text(object, "addressType");
    match kind {
        "" => errors.push(root.child("addressType").required("")),
        known if ADDRESS_TYPES.contains(&known) => {}
        other => errors.push(root.child("addressType").not_supported(other, &ADDRESS_TYPES)),
    }
    errors.extend(slice_ports(object, &root.child("ports")));
    if old.is_none_or(|old| old.get("endpoints") != object.get("endpoints")) {
        errors.extend(slice_endpoints(object, kind, &root.child("endpoints")));
    }
    errors
}

fn slice_endpoints(object: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let endpoints = read::list(object, "endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        return vec![path.too_many(endpoints.len(), MAX_ENDPOINTS)];
    }
    let mut errors = Vec::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = path.index(index);
        errors.extend(slice_addresses(endpoint, kind, &path.child("addresses")));
        errors.extend(node(endpoint, &path));
        errors.extend(topology(endpoint, &path.child("deprecatedTopology")));
        if read::present(endpoint, "hostname") {
            let host = read::text(endpoint, "hostname");
            errors.extend(naming::broken(names::dns_label, host, &path.child("hostname")));
        }
        errors.extend(hints(
            endpoint,
            "forZones",
            names::label_value,
            &path.child("hints"),
        ));
        errors.extend(hints(
            endpoint,
            "forNodes",
            names::dns_subdomain,
            &path.child("hints"),
        ));
    }
    errors
}

fn topology(endpoint: &Value, path: &Path) -> Vec<FieldError> {
    let labels: BTreeMap<String, String> = read::map(endpoint, "deprecatedTopology")
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let mut errors = Vec::new();
    if labels.len() > MAX_TOPOLOGY {
        errors.push(path.too_many(labels.len(), MAX_TOPOLOGY));
    }
    errors.extend(metadata::label_errors(&labels, path));
    errors
}

/// What is wrong with the zones or nodes that an endpoint is meant for.
fn hints(endpoint: &Value, field: &str, rule: NameCheck, path: &Path) -> Vec<FieldError> {
    let path = path.child(field);
    let hints = read::list(endpoint, &format!("hints.{field}"));
    if hints.len() > MAX_HINTS {
        return vec![path.too_many(hints.len(), MAX_HINTS)];
    }
    let names: Vec<&str> = hints.iter().map(|hint| read::text(hint, "name")).collect();
    let mut errors = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let path = path.index(index).child("name");
        if names.iter().take(index).any(|before| before == name) {
            errors.push(path.duplicate(*name));
        }
        errors.extend(rule(name).into_iter().map(|rule| path.invalid(*name, rule)));
    }
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
        match kind {
            "IPv4" => errors.extend(of_family(address, kind, address::ip, path, index)),
            "IPv6" => errors.extend(of_family(address, kind, address::canonical_ip, path, index)),
            "FQDN" => errors.extend(qualified(address, &path.index(index))),
            _ => {}
        }
    }
    errors
}

/// What is wrong with one of the addresses at `list`, which must be of one family.
fn of_family(text: &str, family: &str, rule: NameCheck, list: &Path, index: usize) -> Vec<FieldError> {
    let path = list.index(index);
    let mut errors = naming::broken(rule, text, &path);
    let Some(address) = text.parse::<IpAddr>().ok().filter(|_| errors.is_empty()) else {
        return errors;
    };
    if address.is_ipv4() != (family == "IPv4") {
        // Upstream names the list here, not the address in it.
        errors.push(list.invalid(text, format!("must be an {family} address")));
    }
    errors.extend(special(text, &path));
    errors
}

/// What a client is warned of about an EndpointSlice.
pub(crate) fn slice_warnings(object: &Value, is_new: bool) -> Vec<String> {
    const SERVERS: [&str; 2] = [
        "endpointslice-controller.k8s.io",
        "endpointslicemirroring-controller.k8s.io",
    ];
    let mut warnings = Vec::new();
    if is_new && read::text(object, "addressType") == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let labels = meta::labels(object);
    let manager = labels.get("endpointslice.kubernetes.io/managed-by");
    if manager.is_some_and(|manager| SERVERS.contains(&manager.as_str())) {
        return warnings;
    }
    for (index, endpoint) in read::list(object, "endpoints").iter().enumerate() {
        let path = Path::new("endpoints").index(index).child("addresses");
        let addresses = read::texts(endpoint, "addresses").into_iter().enumerate();
        warnings.extend(addresses.filter_map(|(index, text)| address::ip_warning(text, &path.index(index))));
    }
    warnings
}

/// What is wrong with a name that must have at least two parts.
fn qualified(name: &str, path: &Path) -> Option<FieldError> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let rule = match names::dns_subdomain(bare).into_iter().next() {
        Some(rule) => rule,
        None if !bare.contains('.') => {
            "should be a domain with at least two segments separated by dots".to_owned()
        }
        None => return None,
    };
    Some(path.invalid(name, rule))
}

fn slice_ports(object: &Value, path: &Path) -> Vec<FieldError> {
    let ports = read::list(object, "ports");
    if ports.len() > MAX_PORTS {
        return vec![path.too_many(ports.len(), MAX_PORTS)];
    }
    let mut errors = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
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
        if !seen.insert(name) {
            errors.push(path.child("name").duplicate(name));
        }
        errors.extend(protocol_error(port, &path));
        errors.extend(app_protocol_errors(port, &path));
    }
    errors
}

/// An EndpointSlice keeps its address type for life.
pub(crate) fn address_type_changed(new: &Value, old: &Value) -> Option<FieldError> {
    (new.get("addressType") != old.get("addressType"))
        .then(|| Path::new("addressType").invalid(read::text(new, "addressType"), metadata::IMMUTABLE))
}
