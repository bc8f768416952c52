//! The ports of a Service.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{is_headless, kind};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::inner_form::of_core::SERVICE_PORT;
use crate::validate::{endpoints, inner_form};

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
        errors.extend(name(port, ports.len() > 1, &mut seen, &path.child("name")));
        errors.extend(endpoints::port_number_error(port, "port", &path));
        errors.extend(endpoints::protocol_error(port, &path));
        errors.extend(target_port(port, &path.child("targetPort")));
        errors.extend(endpoints::app_protocol_errors(port, &path));
    }
    errors
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
    let inner = kind(object) == "ClusterIP";
    let each = || {
        ports
            .iter()
            .enumerate()
            .map(|(index, port)| (port, path.index(index)))
    };
    let opened = each().filter(|(port, _)| inner && read::count(port, "nodePort") != 0);
    let detail = "may not be used when `type` is 'ClusterIP'";
    let mut errors: Vec<FieldError> = opened
        .map(|(_, path)| path.child("nodePort").forbidden(detail))
        .collect();
    for (port, path) in repeated(ports, "nodePort", path) {
        errors.push(path.child("nodePort").duplicate(read::count(port, "nodePort")));
    }
    for (port, path) in repeated(ports, "port", path) {
        let (number, protocol) = (read::count(port, "port"), read::text(port, "protocol"));
        let key = path.duplicate(json!({"port": number, "protocol": protocol}));
        errors.push(inner_form::formed(key, SERVICE_PORT));
    }
    errors
}

/// The ports whose number in `field` a port of the same protocol has before them.
fn repeated<'a>(ports: &'a [Value], field: &str, path: &Path) -> Vec<(&'a Value, Path)> {
    let key = |port: &Value| (read::text(port, "protocol").to_owned(), read::count(port, field));
    let given = |port: &&Value| field == "port" || read::count(port, field) != 0;
    let mut seen = BTreeSet::new();
    let all = ports.iter().enumerate().filter(|(_, port)| given(port));
    all.filter(|(_, port)| !seen.insert(key(port)))
        .map(|(index, port)| (port, path.index(index)))
        .collect()
}
