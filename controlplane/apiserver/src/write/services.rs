//! Addresses and node ports of Services, taken and given back in the transaction of the Service itself.
//!
//! One key an address: two creates that pick the same one cannot both commit, and none waits for
//! another. An address is held as an `IPAddress` object, as upstream does.

mod free;
mod held;

use controlplane_api::{ApiError, FieldError, meta};
use controlplane_store::{Compare, Key, Op};
use serde_json::{Value, json};

use crate::call::Call;
use crate::write::commit::{self, Extra};
use free::Free;
use held::Held;

fn is_service(call: &Call) -> bool {
    call.resource.group.is_empty() && call.resource.plural == "services"
}

/// Gives `new` the addresses and ports that it needs, and lets go of those that `old` had and it has not.
///
/// # Errors
///
/// 422 where an address or port that it asks for is outside the range or taken, 500 where none is free.
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
    let mut free = Free::new(call, &held, &Held::of(new));
    set_addresses(&mut free, new)?;
    set_ports(&mut free, new)?;
    let wanted = Held::of(new);
    let refused = |error: FieldError| ApiError::invalid("", "Service", meta::name(new), vec![error]);
    free.check(&held, new).map_err(refused)?;
    let (before, after) = (held.keys(), wanted.keys());
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
pub(crate) fn release(call: &Call, service: &Value, extra: &mut Extra) {
    if is_service(call) {
        let keys = Held::of(service).keys().into_iter();
        extra.ops.extend(keys.map(|key| Op::Delete { key }));
    }
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
    let spec = service.get("spec").and_then(|spec| spec.get(field));
    spec.and_then(Value::as_str).unwrap_or_default()
}

fn count(object: &Value, field: &str) -> u16 {
    let number = object.get(field).and_then(Value::as_u64);
    number
        .and_then(|number| u16::try_from(number).ok())
        .unwrap_or_default()
}

/// The strategy has settled the families; each gets its address.
fn set_addresses(free: &mut Free<'_>, new: &mut Value) -> Result<(), ApiError> {
    if text(new, "type") == "ExternalName" || text(new, "clusterIP") == "None" {
        return Ok(());
    }
    let spec = meta::object_mut(meta::member_mut(new, "spec"));
    let list = |field: &str| {
        spec.get(field)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let families = list("ipFamilies").len().max(1);
    let mut addresses = list("clusterIPs");
    while addresses.len() < families {
        addresses.push(free.address()?.to_string().into());
    }
    if let Some(first) = addresses.first() {
        spec.insert("clusterIP".to_owned(), first.clone());
    }
    spec.insert("clusterIPs".to_owned(), addresses.into());
    Ok(())
}

fn has_node_ports(service: &Value) -> bool {
    let allocate = service
        .get("spec")
        .and_then(|spec| spec.get("allocateLoadBalancerNodePorts"));
    match text(service, "type") {
        "NodePort" => true,
        "LoadBalancer" => allocate.and_then(Value::as_bool) != Some(false),
        _ => false,
    }
}

/// Ports of one number share a node port, over all protocols, as upstream.
fn set_ports(free: &mut Free<'_>, new: &mut Value) -> Result<(), ApiError> {
    let needs_check = text(new, "type") == "LoadBalancer" && text(new, "externalTrafficPolicy") == "Local";
    let needs_ports = has_node_ports(new);
    let spec = meta::object_mut(meta::member_mut(new, "spec"));
    if needs_check
        && spec
            .get("healthCheckNodePort")
            .and_then(Value::as_u64)
            .unwrap_or_default()
            == 0
    {
        spec.insert("healthCheckNodePort".to_owned(), free.port()?.into());
    }
    let Some(ports) = spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .filter(|_| needs_ports)
    else {
        return Ok(());
    };
    for index in 0..ports.len() {
        let Some(port) = ports
            .get(index)
            .filter(|port| port.is_object() && count(port, "nodePort") == 0)
        else {
            continue;
        };
        let (number, protocol) = (port.get("port").cloned(), port.get("protocol").cloned());
        let shared = ports.iter().find(|other| {
            other.get("port") == number.as_ref()
                && other.get("protocol") != protocol.as_ref()
                && count(other, "nodePort") != 0
        });
        let chosen = match shared {
            Some(other) => count(other, "nodePort"),
            None => free.port()?,
        };
        if let Some(port) = ports.get_mut(index) {
            meta::object_mut(port).insert("nodePort".to_owned(), chosen.into());
        }
    }
    Ok(())
}
