//! What a proxy's name stands for, by the objects in the store.

use std::net::IpAddr;

use controlplane_api::ApiError;
use controlplane_store::Key;
use serde_json::Value;

use super::name::{Name, Scheme};
use crate::call::Call;
use crate::node::target::endpoint;
use crate::reply::bug;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) scheme: Scheme,
    /// Address and port, as links name them.
    pub(super) authority: String,
    pub(super) way: Way,
}

/// How it gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// To a port of a pod, through its node's agent.
    Pod {
        namespace: String,
        pod: String,
        port: u16,
        agent: (IpAddr, u16),
    },
    /// To a node's agent, with this server's certificate.
    Agent(IpAddr, u16),
    /// To another port of a node.
    Node(IpAddr, u16),
}

/// What `call` names.
///
/// # Errors
///
/// 400 for a name or port that is none, 404 for an object that is not there, 503 where nothing stands behind it.
pub(super) fn find(call: &Call) -> Result<Destination, ApiError> {
    let kind = &*call.resource.singular;
    let name = Name::parse(call.name())
        .ok_or_else(|| ApiError::bad_request(format!("invalid {kind} request {:?}", call.name())))?;
    match &*call.resource.plural {
        "pods" => of_pod(call, name),
        "services" => of_service(call, name),
        "nodes" => of_node(call, name),
        _ => Err(ApiError::no_such_path()),
    }
}

fn object(call: &Call, plural: &str, name: &str) -> Result<Value, ApiError> {
    let missing = || ApiError::not_found("", plural, name);
    let folder = match call.namespace() {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    };
    let key = Key::parse(&format!("{}{plural}/{folder}{name}", Key::ROOT)).map_err(|_| missing())?;
    let entry = call.store().get(&key).ok_or_else(missing)?;
    entry
        .value
        .to_json(entry.mod_revision)
        .map_err(|error| bug("read a stored object", &error))
}

fn of_pod(call: &Call, name: Name<'_>) -> Result<Destination, ApiError> {
    let pod = object(call, "pods", name.name)?;
    let address = address_of(&pod)
        .filter(|address| is_allowed(*address))
        .ok_or_else(|| ApiError::bad_request("address not allowed"))?;
    let port = match name.port {
        "" => first_port(&pod).unwrap_or(standard_port(name.scheme)),
        text => port(text)?,
    };
    through_node(call, &pod, name.scheme, (address, port))
}

/// A port number of a request.
fn port(text: &str) -> Result<u16, ApiError> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| {
        ApiError::service_unavailable(format!(
            "error trying to reach service: {text:?} is no port number"
        ))
    })
}

fn standard_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

fn address_of(pod: &Value) -> Option<IpAddr> {
    pod.pointer("/status/podIP")?.as_str()?.parse().ok()
}

/// The first port of the first container that says one.
fn first_port(pod: &Value) -> Option<u16> {
    let containers = pod.pointer("/spec/containers")?.as_array()?;
    containers
        .iter()
        .find_map(|container| container.get("ports")?.as_array()?.first())
        .and_then(|port| u16::try_from(port.get("containerPort")?.as_u64()?).ok())
}

/// Go's `IsGlobalUnicast`: no address that stays on the machine or link, and none of many machines.
fn is_allowed(address: IpAddr) -> bool {
    let on_link = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(on_link || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

fn through_node(
    call: &Call,
    pod: &Value,
    scheme: Scheme,
    (address, port): (IpAddr, u16),
) -> Result<Destination, ApiError> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let node = text("/spec/nodeName");
    Ok(Destination {
        scheme,
        authority: std::net::SocketAddr::new(address, port).to_string(),
        way: Way::Pod {
            namespace: text("/metadata/namespace").to_owned(),
            pod: text("/metadata/name").to_owned(),
            port,
            agent: endpoint(call, node)?,
        },
    })
}

/// One of the service's ready pods, by its `Endpoints`, as upstream looks them up. Addresses without a pod that has
/// them are never proxied to: whoever may write them could reach anything in this server's network.
fn of_service(call: &Call, name: Name<'_>) -> Result<Destination, ApiError> {
    let port_name = port_name(call, name)?;
    let endpoints = object(call, "endpoints", name.name)?;
    let subsets = list(&endpoints, "subsets");
    let none = |what: &str| {
        let message = format!("no endpoints available for service {what:?}");
        ApiError::service_unavailable(message)
    };
    if subsets.is_empty() {
        return Err(none(name.name));
    }
    for subset in from_anywhere(subsets) {
        let Some(port) = port_of(subset, &port_name) else {
            continue;
        };
        for address in from_anywhere(list(subset, "addresses")) {
            if let Some((pod, address)) = pod_behind(call, address) {
                return through_node(call, &pod, name.scheme, (address, port));
            }
        }
    }
    Err(none(call.name()))
}

/// The name of the service's port that a request names by number, or as it does.
fn port_name(call: &Call, name: Name<'_>) -> Result<String, ApiError> {
    let Ok(number) = name.port.parse::<u64>() else {
        return Ok(name.port.to_owned());
    };
    let service = object(call, "services", name.name)?;
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let found = ports
        .into_iter()
        .flatten()
        .find(|port| port.get("port").and_then(Value::as_u64) == Some(number));
    let Some(port) = found else {
        let message = format!("no service port {number} found for service {:?}", name.name);
        return Err(ApiError::service_unavailable(message));
    };
    let name = port.get("name").and_then(Value::as_str);
    Ok(name.unwrap_or_default().to_owned())
}

fn port_of(subset: &Value, name: &str) -> Option<u16> {
    let named = |port: &&Value| port.get("name").and_then(Value::as_str).unwrap_or_default() == name;
    let port = list(subset, "ports").iter().find(named)?;
    u16::try_from(port.get("port")?.as_u64()?).ok()
}

fn pod_behind(call: &Call, address: &Value) -> Option<(Value, IpAddr)> {
    let text = |pointer: &str| address.pointer(pointer).and_then(Value::as_str);
    let named =
        text("/targetRef/kind") == Some("Pod") && text("/targetRef/namespace") == Some(call.namespace());
    let pod = object(call, "pods", text("/targetRef/name").filter(|_| named)?).ok()?;
    let ip = text("/ip")?;
    let its_own = list(pod.get("status")?, "podIPs");
    let has = its_own
        .iter()
        .any(|own| own.get("ip").and_then(Value::as_str) == Some(ip));
    Some((pod, ip.parse().ok().filter(|_| has)?))
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    let list = object.get(field).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

/// All of a list, beginning at a place drawn by lot.
fn from_anywhere<T>(list: &[T]) -> impl Iterator<Item = &T> {
    let start = match list.len() {
        0 => 0,
        length => rand::random_range(0..length),
    };
    list.iter().cycle().skip(start).take(list.len())
}

fn of_node(call: &Call, name: Name<'_>) -> Result<Destination, ApiError> {
    let agent = endpoint(call, name.name)?;
    let (scheme, way) = match name.port {
        "" => (Scheme::Https, Way::Agent(agent.0, agent.1)),
        text if text == agent.1.to_string() => (Scheme::Https, Way::Agent(agent.0, agent.1)),
        _ if !is_allowed(agent.0) => return Err(ApiError::bad_request("address not allowed")),
        text => (name.scheme, Way::Node(agent.0, port(text)?)),
    };
    let (Way::Agent(address, port) | Way::Node(address, port)) = way else {
        return Err(ApiError::no_such_path());
    };
    Ok(Destination {
        scheme,
        authority: std::net::SocketAddr::new(address, port).to_string(),
        way,
    })
}
