//! What a Service gets and loses beside defaults: fields that clients may leave out, fields that its type no
//! longer has, and the address families that follow from the rest.

use serde_json::{Value, json};

use crate::meta;
use crate::read;
use crate::validate::service::{
    CONFIGURED, family_of, has_selector, is_external, is_headless, is_health_checked, kind,
};

/// Brings a new Service into form.
pub(super) fn create(service: &mut Value) {
    let one = read::text(service, "spec.clusterIP").to_owned();
    if !one.is_empty() && is_unset(service, "clusterIPs") {
        set(service, "clusterIPs", json!([one]));
    }
    settle_families(service, None);
}

/// Brings an update into form. What was given to a Service stays where a client leaves it out; what its new
/// type has no use for goes, unless the client changed it, which is left for validation to refuse.
pub(super) fn update(new: &mut Value, old: &Value) {
    keep_given(new, old);
    join_addresses(new, old);
    drop_unused(new, old);
    settle_families(new, Some(old));
}

fn set(service: &mut Value, field: &str, value: Value) {
    meta::object_mut(meta::member_mut(service, "spec")).insert(field.to_owned(), value);
}

fn clear(service: &mut Value, field: &str) {
    meta::object_mut(meta::member_mut(service, "spec")).remove(field);
}

fn get<'a>(service: &'a Value, field: &str) -> Option<&'a Value> {
    service.get("spec")?.get(field).filter(|value| !value.is_null())
}

fn is_unset(service: &Value, field: &str) -> bool {
    match get(service, field) {
        None => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Number(number)) => number.as_i64() == Some(0),
        Some(_) => false,
    }
}

fn has_address(service: &Value) -> bool {
    matches!(kind(service), "ClusterIP" | "LoadBalancer" | "NodePort")
}

/// Whether the ports of a Service get node ports.
fn has_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => {
            get(service, "allocateLoadBalancerNodePorts").and_then(Value::as_bool) != Some(false)
        }
        _ => false,
    }
}

fn keep_given(new: &mut Value, old: &Value) {
    if has_address(old) && has_address(new) {
        keep(new, old, "clusterIP");
        if read::text(new, "spec.clusterIP") == read::text(old, "spec.clusterIP") {
            keep(new, old, "clusterIPs");
        }
    }
    if has_node_ports(old) && has_node_ports(new) {
        keep_node_ports(new, old);
    }
    if is_health_checked(old) && is_health_checked(new) {
        keep(new, old, "healthCheckNodePort");
    }
}

fn keep(new: &mut Value, old: &Value, field: &str) {
    if let (true, Some(value)) = (is_unset(new, field), get(old, field)) {
        set(new, field, value.clone());
    }
}

/// A port without a node port keeps that of the port of the same name, unless another port took it.
fn keep_node_ports(new: &mut Value, old: &Value) {
    let before = read::list(old, "spec.ports");
    let used: Vec<i64> = read::list(new, "spec.ports")
        .iter()
        .map(|port| read::count(port, "nodePort"))
        .collect();
    let ports = at_mut(new, "ports").into_iter().flatten();
    for port in ports.filter(|port| port.is_object() && read::count(port, "nodePort") == 0) {
        let named = before
            .iter()
            .find(|before| read::text(before, "name") == read::text(port, "name"));
        let kept = named
            .map(|before| read::count(before, "nodePort"))
            .unwrap_or_default();
        if kept != 0 && !used.contains(&kept) {
            meta::object_mut(port).insert("nodePort".to_owned(), kept.into());
        }
    }
}

fn at_mut<'a>(service: &'a mut Value, field: &str) -> Option<&'a mut Vec<Value>> {
    service.get_mut("spec")?.get_mut(field)?.as_array_mut()
}

/// A client that knows one of `clusterIP` and `clusterIPs` changes both.
fn join_addresses(new: &mut Value, old: &Value) {
    if read::text(new, "spec.clusterIP") == read::text(old, "spec.clusterIP") {
        keep(new, old, "clusterIPs");
    } else if is_same(new, old, "clusterIPs") {
        match read::text(new, "spec.clusterIP").to_owned() {
            one if one.is_empty() => clear(new, "clusterIPs"),
            one => set(new, "clusterIPs", json!([one])),
        }
    }
}

fn is_same(new: &Value, old: &Value, field: &str) -> bool {
    is_unset(new, field) && is_unset(old, field) || get(new, field) == get(old, field)
}

fn drop_unused(new: &mut Value, old: &Value) {
    if has_address(old) && !has_address(new) {
        if is_same(new, old, "clusterIPs") {
            clear(new, "clusterIP");
            clear(new, "clusterIPs");
        }
        drop_if_same(new, old, "ipFamilies");
        drop_if_same(new, old, "ipFamilyPolicy");
    }
    if has_node_ports(old) && !has_node_ports(new) {
        drop_node_ports(new, old);
    }
    if is_health_checked(old) && !is_health_checked(new) {
        drop_if_same(new, old, "healthCheckNodePort");
    }
    if kind(old) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        drop_if_same(new, old, "allocateLoadBalancerNodePorts");
        drop_if_same(new, old, "loadBalancerClass");
    }
    if is_external(old) && !is_external(new) {
        drop_if_same(new, old, "externalTrafficPolicy");
    }
}

fn drop_if_same(new: &mut Value, old: &Value, field: &str) {
    if is_same(new, old, field) {
        clear(new, field);
    }
}

fn drop_node_ports(new: &mut Value, old: &Value) {
    let numbers = |service: &Value| -> Vec<i64> {
        let ports = read::list(service, "spec.ports").iter();
        ports
            .map(|port| read::count(port, "nodePort"))
            .filter(|port| *port != 0)
            .collect()
    };
    // Anything but the numbers of before was written by someone who means it.
    if !numbers(new).iter().all(|port| numbers(old).contains(port)) {
        return;
    }
    for port in at_mut(new, "ports")
        .into_iter()
        .flatten()
        .filter(|port| port.is_object())
    {
        meta::object_mut(port).remove("nodePort");
    }
}

/// Fills `ipFamilyPolicy` and `ipFamilies` in, as far as this cluster has what they ask for.
fn settle_families(service: &mut Value, old: Option<&Value>) {
    if kind(service) == "ExternalName" {
        return;
    }
    let free = is_headless(service) && !has_selector(service);
    if is_unset(service, "ipFamilyPolicy") {
        let before = old.and_then(|old| get(old, "ipFamilyPolicy")).cloned();
        let usual = if free { "RequireDualStack" } else { "SingleStack" };
        set(service, "ipFamilyPolicy", before.unwrap_or_else(|| usual.into()));
    }
    let single = read::text(service, "spec.ipFamilyPolicy") == "SingleStack";
    if let Some(old) = old.filter(|_| single) {
        for field in ["clusterIPs", "ipFamilies"]
            .into_iter()
            .filter(|field| is_same(service, old, field))
            .collect::<Vec<_>>()
        {
            if let Some(list) = at_mut(service, field) {
                list.truncate(1);
            }
        }
    }
    let families = families(service, free && !single);
    set(service, "ipFamilies", json!(families));
}

/// The families of a Service: as given, then those of its addresses, or else the cluster's.
fn families(service: &Value, both: bool) -> Vec<String> {
    let mut families: Vec<String> = read::texts(service, "spec.ipFamilies")
        .into_iter()
        .map(str::to_owned)
        .collect();
    let addresses = read::texts(service, "spec.clusterIPs");
    let inferred = addresses.into_iter().skip(families.len()).filter_map(family_of);
    families.extend(
        inferred
            .filter(|family| CONFIGURED.contains(family))
            .map(str::to_owned),
    );
    if families.is_empty() {
        families.extend(CONFIGURED.first().map(ToString::to_string));
    }
    if both && let [one] = families.as_slice() {
        let other = if one == "IPv4" { "IPv6" } else { "IPv4" };
        families.push(other.to_owned());
    }
    families
}

#[cfg(test)]
mod tests;
