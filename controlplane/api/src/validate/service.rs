//! Rules for Services.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{endpoints, metadata};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const TRAFFIC: [&str; 2] = ["Cluster", "Local"];
const MAX_STICKY_SECONDS: i64 = 86_400;

/// What is wrong with a Service.
pub(crate) fn spec(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let kind = read::text(object, "spec.type");
    let mut errors = Vec::new();
    errors.extend(choice(object, "type", &TYPES, Need::Required));
    errors.extend(choice(
        object,
        "sessionAffinity",
        &["ClientIP", "None"],
        Need::Required,
    ));
    errors.extend(choice(object, "ipFamilyPolicy", &POLICIES, Need::Optional));
    errors.extend(choice(object, "externalTrafficPolicy", &TRAFFIC, Need::Optional));
    errors.extend(choice(object, "internalTrafficPolicy", &TRAFFIC, Need::Optional));
    errors.extend(by_type(object, kind, &path));
    errors.extend(ports(object, kind, &path.child("ports")));
    let selector = read::map(object, "spec.selector")
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    errors.extend(metadata::label_errors(&selector, &path.child("selector")));
    errors.extend(sticky(object, &path));
    for (index, address) in read::texts(object, "spec.externalIPs").into_iter().enumerate() {
        errors.extend(endpoints::ip_error(
            address,
            &path.child("externalIPs").index(index),
        ));
    }
    for (index, family) in read::texts(object, "spec.ipFamilies").into_iter().enumerate() {
        if !FAMILIES.contains(&family) {
            errors.push(
                path.child("ipFamilies")
                    .index(index)
                    .not_supported(family, &FAMILIES),
            );
        }
    }
    errors
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

fn choice(object: &Value, field: &str, known: &[&str], need: Need) -> Option<FieldError> {
    let path = Path::new("spec").child(field);
    match at(object, path.as_str())
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        "" if need == Need::Optional => None,
        "" => Some(path.required("")),
        value if known.contains(&value) => None,
        value => Some(path.not_supported(value, known)),
    }
}

fn by_type(object: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let address = read::text(object, "spec.clusterIP");
    let mut errors = Vec::new();
    match kind {
        "ExternalName" => errors.extend(external_name(object, address, path)),
        "LoadBalancer" | "NodePort" if address == "None" => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(path.child("clusterIPs").index(0).invalid(address, detail));
        }
        _ => {}
    }
    if !matches!(address, "" | "None") && kind != "ExternalName" {
        errors.extend(endpoints::ip_error(address, &path.child("clusterIPs").index(0)));
    }
    errors
}

fn external_name(object: &Value, address: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !matches!(address, "" | "None")
        || (address.is_empty() && !read::texts(object, "spec.clusterIPs").is_empty())
    {
        errors.push(
            path.child("clusterIPs")
                .forbidden("may not be set for ExternalName services"),
        );
    }
    let name = read::text(object, "spec.externalName");
    if name.is_empty() {
        errors.push(path.child("externalName").required(""));
    } else {
        let rules = names::dns_subdomain(name.strip_suffix('.').unwrap_or(name));
        errors.extend(
            rules
                .into_iter()
                .map(|rule| path.child("externalName").invalid(name, rule)),
        );
    }
    errors
}

fn ports(object: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let ports = read::list(object, "spec.ports");
    let headless = read::text(object, "spec.clusterIP") == "None";
    let mut errors = Vec::new();
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(path.required(""));
    }
    let mut names_seen: Vec<&str> = Vec::new();
    let mut seen: Vec<(i64, &str)> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        errors.extend(port_name(port, ports.len() > 1, &mut names_seen, &path));
        errors.extend(port_numbers(port, kind, &path));
        let key = (read::count(port, "port"), read::text(port, "protocol"));
        if seen.contains(&key) {
            errors
                .push(path.duplicate(serde_json::json!({"port": key.0, "protocol": key.1, "targetPort": 0})));
        }
        seen.push(key);
    }
    errors
}

fn port_name<'a>(port: &'a Value, needed: bool, seen: &mut Vec<&'a str>, path: &Path) -> Vec<FieldError> {
    let path = path.child("name");
    let name = read::text(port, "name");
    if name.is_empty() {
        return if needed {
            vec![path.required("")]
        } else {
            Vec::new()
        };
    }
    let mut errors: Vec<FieldError> = names::dns_label(name)
        .into_iter()
        .map(|rule| path.invalid(name, rule))
        .collect();
    if seen.contains(&name) {
        errors.push(path.duplicate(name));
    }
    seen.push(name);
    errors
}

fn port_numbers(port: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let number = read::count(port, "port");
    let mut errors: Vec<FieldError> = names::port_number(number)
        .into_iter()
        .map(|rule| path.child("port").invalid(number, rule))
        .collect();
    errors.extend(endpoints::protocol_error(port, path));
    errors.extend(target_port(port, &path.child("targetPort")));
    if read::count(port, "nodePort") != 0 && matches!(kind, "ClusterIP" | "ExternalName") {
        errors.push(
            path.child("nodePort")
                .forbidden("may not be used when `type` is 'ClusterIP'"),
        );
    }
    errors
}

/// What is wrong with a port given by number or name.
pub(crate) fn target_port(port: &Value, path: &Path) -> Vec<FieldError> {
    match port.get("targetPort") {
        Some(Value::Number(number)) => {
            let number = number.as_i64().unwrap_or_default();
            names::port_number(number)
                .into_iter()
                .map(|rule| path.invalid(number, rule))
                .collect()
        }
        Some(Value::String(name)) => names::port_name(name)
            .into_iter()
            .map(|rule| path.invalid(name.as_str(), rule))
            .collect(),
        _ => Vec::new(),
    }
}

fn sticky(object: &Value, path: &Path) -> Option<FieldError> {
    let affinity = read::text(object, "spec.sessionAffinity");
    let config = read::present(object, "spec.sessionAffinityConfig");
    let seconds = read::integer(object, "spec.sessionAffinityConfig.clientIP.timeoutSeconds");
    match (affinity, seconds) {
        ("None", _) if config => Some(
            path.child("sessionAffinityConfig")
                .forbidden("must not be set when session affinity is None"),
        ),
        ("ClientIP", Some(seconds)) if !(1..=MAX_STICKY_SECONDS).contains(&seconds) => Some(
            path.child("sessionAffinityConfig.clientIP.timeoutSeconds")
                .invalid(
                    seconds,
                    format!("must be greater than 0 and less than {MAX_STICKY_SECONDS}"),
                ),
        ),
        _ => None,
    }
}

/// What was allocated to a Service stays with it where an update leaves it out.
pub(crate) fn keep_allocations(new: &mut Value, old: &Value) {
    let kind = read::text(new, "spec.type").to_owned();
    if kind == "ExternalName" || read::text(old, "spec.type") == "ExternalName" {
        return;
    }
    let spec = meta::object_mut(meta::member_mut(new, "spec"));
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let absent = match spec.get(field) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(_) => false,
        };
        if let (true, Some(value)) = (absent, old.get("spec").and_then(|spec| spec.get(field))) {
            spec.insert(field.to_owned(), value.clone());
        }
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        keep_node_ports(spec.get_mut("ports"), read::list(old, "spec.ports"));
    } else {
        drop_node_ports(spec.get_mut("ports"), read::list(old, "spec.ports"));
    }
}

/// A Service that changes to a type without node ports gives back those it had, as upstream; one that its
/// owner writes anew is left for validation to refuse.
fn drop_node_ports(ports: Option<&mut Value>, old: &[Value]) {
    for port in ports.and_then(Value::as_array_mut).into_iter().flatten() {
        let number = read::count(port, "nodePort");
        if number != 0 && old.iter().any(|before| read::count(before, "nodePort") == number) {
            meta::object_mut(port).remove("nodePort");
        }
    }
}

fn keep_node_ports(ports: Option<&mut Value>, old: &[Value]) {
    for port in ports.and_then(Value::as_array_mut).into_iter().flatten() {
        let same = |before: &&Value| {
            before.get("port") == port.get("port") && before.get("protocol") == port.get("protocol")
        };
        let kept = old
            .iter()
            .find(same)
            .map(|before| read::count(before, "nodePort"))
            .unwrap_or_default();
        if kept != 0 && read::count(port, "nodePort") == 0 {
            meta::object_mut(port).insert("nodePort".to_owned(), kept.into());
        }
    }
}

/// What an update changes that a Service keeps for life.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let external = |object: &Value| read::text(object, "spec.type") == "ExternalName";
    let (before, after) = (
        read::text(old, "spec.clusterIP"),
        read::text(new, "spec.clusterIP"),
    );
    if before.is_empty() || before == after || external(old) || external(new) {
        return Vec::new();
    }
    let addresses = at(new, "spec.clusterIPs")
        .cloned()
        .unwrap_or_else(|| serde_json::json!([after]));
    let mut errors = vec![
        Path::new("spec.clusterIPs")
            .index(0)
            .invalid(addresses, "may not change once set"),
    ];
    if after.is_empty() {
        errors.push(Path::new("spec.clusterIP").invalid(after, metadata::IMMUTABLE));
    }
    errors
}
