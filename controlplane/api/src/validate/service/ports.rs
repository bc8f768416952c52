//! The ports of a Service.

use serde_json::{Value, json};

use super::{is_headless, kind};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::endpoints;

/// The port of a node's agent, which a load balancer must not open to the world.
const AGENT_PORT: i64 = 10_250;

/// Only a headless Service and a mere name may do without ports.
pub(super) fn any(object: &Value, path: &Path) -> Vec<FieldError> {
    let none = read::list(object, "spec.ports").is_empty();
    if none && !is_headless(object) && kind(object) != "ExternalName" {
        vec![path.child("ports").required("")]
    } else {
        Vec::new()
    }
}

/// What is wrong with each port by itself.
pub(super) fn each(object: &Value, path: &Path) -> Vec<FieldError> {
    let ports = read::list(object, "spec.ports");
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        errors.extend(opened(port, kind(object), &path));
        errors.extend(name(port, ports.len() > 1, &mut seen, &path.child("name")));
        errors.extend(endpoints::port_number_error(port, "port", &path));
        errors.extend(endpoints::protocol_error(port, &path));
        errors.extend(target_port(port, &path.child("targetPort")));
        errors.extend(endpoints::app_protocol_errors(port, &path));
    }
    errors
}

fn opened(port: &Value, kind: &str, path: &Path) -> Option<FieldError> {
    let number = read::count(port, "port");
    let detail = format!("may not expose port {AGENT_PORT} externally since it is used by kubelet");
    (kind == "LoadBalancer" && number == AGENT_PORT).then(|| path.invalid(number, detail))
}

fn name<'a>(port: &'a Value, needed: bool, seen: &mut Vec<&'a str>, path: &Path) -> Vec<FieldError> {
    let name = read::text(port, "name");
    if name.is_empty() {
        return if needed {
            vec![path.required("")]
        } else {
            Vec::new()
        };
    }
    let rules = names::dns_label(name).into_iter();
    let mut errors: Vec<FieldError> = rules.map(|rule| path.invalid(name, rule)).collect();
    if seen.contains(&name) {
        errors.push(path.duplicate(name));
    }
    seen.push(name);
    errors
}

/// What is wrong with a port given by number or name.
fn target_port(port: &Value, path: &Path) -> Vec<FieldError> {
    match port.get("targetPort") {
        Some(Value::Number(number)) => {
            let number = number.as_i64().unwrap_or_default();
            let rules = names::port_number(number).into_iter();
            rules.map(|rule| path.invalid(number, rule)).collect()
        }
        Some(Value::String(name)) => {
            let rules = names::port_name(name).into_iter();
            rules.map(|rule| path.invalid(name.as_str(), rule)).collect()
        }
        _ => Vec::new(),
    }
}

/// What is wrong with the ports beside each other, by protocol.
pub(super) fn unique(object: &Value, path: &Path) -> Vec<FieldError> {
    let ports = read::list(object, "spec.ports");
    let number = |port: &Value, field: &str| read::count(port, field);
    let mut errors = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let node_port = number(port, "nodePort");
        let path = path.index(index);
        if node_port != 0 && kind(object) == "ClusterIP" {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(path.child("nodePort").forbidden(detail));
        }
        let protocol = read::text(port, "protocol");
        let mut same = ports
            .iter()
            .take(index)
            .filter(|before| read::text(before, "protocol") == protocol);
        if node_port != 0 && same.clone().any(|before| number(before, "nodePort") == node_port) {
            errors.push(path.child("nodePort").duplicate(node_port));
        }
        if same.any(|before| number(before, "port") == number(port, "port")) {
            let twice = json!({"port": number(port, "port"), "protocol": protocol, "targetPort": 0});
            errors.push(path.duplicate(twice));
        }
    }
    errors
}
