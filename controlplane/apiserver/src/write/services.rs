//! Addresses and node ports of Services, taken and given back in the transaction of the Service itself.
//!
//! One key an address: two creates that pick the same one cannot both commit, and none waits for
//! another. An address is held as an `IPAddress` object, as upstream does.

use std::net::{IpAddr, Ipv4Addr};

use controlplane_api::field::Path;
use controlplane_api::{ApiError, FieldError, meta};
use controlplane_store::{Compare, Key, Op, Store};
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::call::Call;
use crate::write::commit::{self, Extra};

/// Ports that `NodePort` Services get.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// How often a random pick may be taken before all are tried in order.
const PICKS: usize = 32;

/// What a Service holds: its own keys, each with the path of the field that asks for it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
}

impl Held {
    fn of(service: &Value) -> Self {
        let spec = service.get("spec");
        let address = spec
            .and_then(|spec| spec.get("clusterIP"))
            .and_then(Value::as_str);
        let ports = spec.and_then(|spec| spec.get("ports")).and_then(Value::as_array);
        let node_port = |port: &Value| port.get("nodePort").and_then(Value::as_u64);
        let mut ports: Vec<u16> = ports
            .into_iter()
            .flatten()
            .filter_map(node_port)
            .filter_map(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        Self {
            addresses: address.and_then(|text| text.parse().ok()).into_iter().collect(),
            ports,
        }
    }

    fn keys(&self) -> Vec<Key> {
        let addresses = self.addresses.iter().filter_map(|address| address_key(*address));
        addresses
            .chain(self.ports.iter().filter_map(|port| port_key(*port)))
            .collect()
    }
}

fn address_key(address: IpAddr) -> Option<Key> {
    Key::parse(&format!("{}networking.k8s.io/ipaddresses/{address}", Key::ROOT)).ok()
}

fn port_key(port: u16) -> Option<Key> {
    Key::parse(&format!("{}floe.dev/nodeports/{port}", Key::ROOT)).ok()
}

fn is_service(call: &Call) -> bool {
    call.resource.group.is_empty() && call.resource.plural == "services"
}

/// Gives `new` the addresses and ports that it needs, and lets go of those that `old` had and it has not.
///
/// # Errors
///
/// 422 where an address or port that it asks for is outside the range or taken.
pub(crate) fn allocate(
    call: &Call,
    old: Option<&Value>,
    new: &mut Value,
    extra: &mut Extra,
) -> Result<(), ApiError> {
    if !is_service(call) {
        return Ok(());
    }
    let held = old.map(Held::of).unwrap_or_default();
    let wrong =
        |error: FieldError, new: &Value| ApiError::invalid("", "Service", meta::name(new), vec![error]);
    let range = call.server.service_cidr;
    let free = || free_address(call.store(), range, call.server.cluster_dns);
    set_address(free, range, old, new).map_err(|error| wrong(error, new))?;
    set_ports(call.store(), old, new).map_err(|error| wrong(error, new))?;
    let wanted = Held::of(new);
    check_taken(call.store(), range, &held, &wanted).map_err(|error| wrong(error, new))?;
    let before = held.keys();
    let after = wanted.keys();
    for key in after.iter().filter(|key| !before.contains(key)) {
        extra.compares.push(Compare::Absent(key.clone()));
        extra.ops.push(Op::Put {
            key: key.clone(),
            value: commit::encode(&holder(key, new))?,
            expires_at: None,
        });
    }
    let dropped = before.into_iter().filter(|key| !after.contains(key));
    extra.ops.extend(dropped.map(|key| Op::Delete { key }));
    Ok(())
}

/// Lets go of everything that a Service holds.
///
/// # Errors
///
/// None today; the signature leaves room for kinds that can fail.
pub(crate) fn release(call: &Call, service: &Value, extra: &mut Extra) -> Result<(), ApiError> {
    if is_service(call) {
        extra
            .ops
            .extend(Held::of(service).keys().into_iter().map(|key| Op::Delete { key }));
    }
    Ok(())
}

/// The object under an address's or port's key: an `IPAddress` that names its Service.
fn holder(key: &Key, service: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": key.name(), "uid": meta::new_uid(), "creationTimestamp": meta::creation_timestamp(service)},
        "spec": {"parentRef": {
            "group": "", "resource": "services", "namespace": meta::namespace(service), "name": meta::name(service),
        }},
    })
}

fn text<'a>(service: &'a Value, field: &str) -> &'a str {
    service
        .get("spec")
        .and_then(|spec| spec.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn set_address(
    free: impl FnOnce() -> Option<IpAddr>,
    range: IpNet,
    old: Option<&Value>,
    new: &mut Value,
) -> Result<(), FieldError> {
    if text(new, "type") == "ExternalName" {
        let spec = meta::object_mut(meta::member_mut(new, "spec"));
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            spec.remove(field);
        }
        return Ok(());
    }
    let before = old.map(|old| text(old, "clusterIP")).unwrap_or_default();
    let address = match (text(new, "clusterIP"), before) {
        ("", "") => free()
            .ok_or_else(|| {
                Path::new("spec.clusterIP").invalid("", "no address of the service range is free")
            })?
            .to_string(),
        ("", before) => before.to_owned(),
        (given, _) => given.to_owned(),
    };
    let family = if range.addr().is_ipv4() { "IPv4" } else { "IPv6" };
    let spec = meta::object_mut(meta::member_mut(new, "spec"));
    spec.insert("clusterIPs".to_owned(), json!([address]));
    spec.insert("clusterIP".to_owned(), address.into());
    spec.entry("ipFamilies").or_insert_with(|| json!([family]));
    spec.entry("ipFamilyPolicy")
        .or_insert_with(|| json!("SingleStack"));
    Ok(())
}

fn set_ports(store: &Store, old: Option<&Value>, new: &mut Value) -> Result<(), FieldError> {
    let wants = matches!(text(new, "type"), "NodePort" | "LoadBalancer");
    let mut taken = Held::of(new).ports;
    let before = old.cloned().unwrap_or_default();
    let before = before
        .get("spec")
        .and_then(|spec| spec.get("ports"))
        .and_then(Value::as_array);
    let spec = meta::object_mut(meta::member_mut(new, "spec"));
    let ports = spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten();
    for port in ports.filter(|port| port.is_object()) {
        let has = port
            .get("nodePort")
            .and_then(Value::as_u64)
            .is_some_and(|port| port > 0);
        if !wants || has {
            continue;
        }
        let same = |other: &&Value| {
            ["port", "protocol", "name"]
                .iter()
                .all(|f| other.get(*f) == port.get(*f))
        };
        let kept = before
            .and_then(|before| before.iter().find(same))
            .and_then(|old| old.get("nodePort"))
            .cloned();
        let chosen = match kept.filter(|kept| kept.as_u64().is_some_and(|port| port > 0)) {
            Some(kept) => kept,
            None => free_port(store, &taken)
                .ok_or_else(|| Path::new("spec.ports").invalid("", "no node port is free"))?
                .into(),
        };
        taken.extend(chosen.as_u64().and_then(|port| u16::try_from(port).ok()));
        meta::object_mut(port).insert("nodePort".to_owned(), chosen);
    }
    Ok(())
}

/// Refuses what is outside the range or held by another; a race that this misses is refused by the store.
fn check_taken(store: &Store, range: IpNet, held: &Held, wanted: &Held) -> Result<(), FieldError> {
    let is_taken = |key: Option<Key>| key.is_none_or(|key| store.get(&key).is_some());
    for address in wanted
        .addresses
        .iter()
        .filter(|address| !held.addresses.contains(address))
    {
        let path = Path::new("spec.clusterIPs").index(0);
        let invalid = |why: &str| {
            path.invalid(
                address.to_string(),
                format!("failed to allocate IP {address}: {why}"),
            )
        };
        if !range.contains(address) {
            return Err(invalid(&format!(
                "the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}"
            )));
        }
        if is_taken(address_key(*address)) {
            return Err(invalid("provided IP is already allocated"));
        }
    }
    for port in wanted.ports.iter().filter(|port| !held.ports.contains(port)) {
        let path = Path::new("spec.ports").index(0).child("nodePort");
        if !NODE_PORTS.contains(port) {
            return Err(path.invalid(
                *port,
                "provided port is not in the valid range. The range of valid ports is 30000-32767",
            ));
        }
        if is_taken(port_key(*port)) {
            return Err(path.invalid(*port, "provided port is already allocated"));
        }
    }
    Ok(())
}

fn free_port(store: &Store, taken: &[u16]) -> Option<u16> {
    let free =
        |port: &u16| !taken.contains(port) && port_key(*port).is_some_and(|key| store.get(&key).is_none());
    let picks = (0..PICKS).map(|_| rand::random_range(NODE_PORTS));
    picks.chain(NODE_PORTS).find(free)
}

/// A free address other than `reserved`; the low part of the range is left to those who choose their own.
fn free_address(store: &Store, range: IpNet, reserved: IpAddr) -> Option<IpAddr> {
    let IpNet::V4(range) = range else { return None };
    let first = u32::from(range.network());
    let size = u32::from(range.broadcast()) - first;
    let low = (size / 16).clamp(16, 256).min(size);
    let untaken = |address: &IpAddr| address_key(*address).is_some_and(|key| store.get(&key).is_none());
    let at = |offset: u32| IpAddr::V4(Ipv4Addr::from(first.saturating_add(offset)));
    let picks = (0..PICKS)
        .filter(|_| low < size)
        .map(|_| rand::random_range(low..size));
    // Offset 1 is the Service `kubernetes`.
    let in_order = (low..size).chain(2..low);
    picks
        .chain(in_order)
        .map(at)
        .find(|address| *address != reserved && untaken(address))
}
