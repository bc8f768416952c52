//! Rules for Ingresses and IngressClasses.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::address::{self, NO_ADDRESS};
use crate::validate::{change, naming};

/// The annotation that `spec.ingressClassName` took the place of.
pub(crate) const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const MAX_CONTROLLER: usize = 250;

/// Rules that came later than the kind: what broke them before may go on.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    secret_names: bool,
    wildcard_rules: bool,
}

impl Known {
    fn of(old: &Value) -> Self {
        let secrets = read::list(old, "spec.tls").iter();
        let rules = read::list(old, "spec.rules").iter();
        Self {
            secret_names: secrets
                .map(|tls| read::text(tls, "secretName"))
                .any(|name| !name.is_empty() && !names::dns_subdomain(name).is_empty()),
            wildcard_rules: rules
                .filter(|rule| read::text(rule, "host").contains('*'))
                .any(|rule| !http_rule(rule, &Path::default()).is_empty()),
        }
    }
}

/// What is wrong with a new Ingress.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    let mut errors = spec(object, Known::default());
    let annotations = meta::annotations(object);
    let class = read::text(object, "spec.ingressClassName");
    if let Some(named) = annotations.get(CLASS_ANNOTATION)
        && read::present(object, "spec.ingressClassName")
        && named != class
    {
        let path = Path::new("annotations").child(CLASS_ANNOTATION);
        let detail = "must match `ingressClassName` when both are specified";
        errors.push(path.invalid(named.as_str(), detail));
    }
    errors
}

/// What is wrong with an update of an Ingress.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    spec(new, Known::of(old))
}

fn spec(object: &Value, known: Known) -> Vec<FieldError> {
    let path = Path::new("spec");
    let rules = read::list(object, "spec.rules");
    let mut errors = Vec::new();
    let backend = at(object, "spec.defaultBackend").filter(|backend| !backend.is_null());
    match backend {
        None if rules.is_empty() => {
            let shown = at(object, "spec.rules").cloned().unwrap_or_default();
            errors.push(path.invalid(shown, "either `defaultBackend` or `rules` must be specified"));
        }
        None => {}
        Some(found) => errors.extend(self::backend(found, &path.child("defaultBackend"))),
    }
    for (index, rule) in rules.iter().enumerate() {
        errors.extend(host_rule(rule, known, &path.child("rules").index(index)));
    }
    for (index, tls) in read::list(object, "spec.tls").iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, name) in read::texts(tls, "hosts").into_iter().enumerate() {
            errors.extend(host(name, &path.child("hosts").index(index)));
        }
        if !known.secret_names {
            errors.extend(naming::optional(names::dns_subdomain, tls, "secretName", &path));
        }
    }
    if read::present(object, "spec.ingressClassName") {
        let class = read::text(object, "spec.ingressClassName");
        errors.extend(naming::broken(
            names::dns_subdomain,
            class,
            &path.child("ingressClassName"),
        ));
    }
    errors
}

fn host(name: &str, path: &Path) -> Vec<FieldError> {
    let rule = if name.contains('*') {
        naming::wildcard_subdomain
    } else {
        names::dns_subdomain
    };
    naming::broken(rule, name, path)
}

fn host_rule(rule: &Value, known: Known, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = read::text(rule, "host");
    if !name.is_empty() {
        let path = path.child("host");
        if name.parse::<std::net::IpAddr>().is_ok() {
            errors.push(path.invalid(name, NO_ADDRESS));
        }
        errors.extend(host(name, &path));
    }
    if !(known.wildcard_rules && name.contains('*')) {
        errors.extend(http_rule(rule, path));
    }
    errors
}

fn http_rule(rule: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(http) = rule.get("http").filter(|http| !http.is_null()) {
        let path = path.child("http.paths");
        let paths = read::list(http, "paths");
        if paths.is_empty() {
            errors.push(path.required(""));
        }
        let paths = paths.iter().enumerate();
        errors.extend(paths.flat_map(|(index, found)| http_path(found, &path.index(index))));
    }
    errors
}

fn http_path(found: &Value, path: &Path) -> Vec<FieldError> {
    let text = read::text(found, "path");
    let at = path.child("path");
    let absolute = (!text.starts_with('/')).then(|| at.invalid(text, "must be an absolute path"));
    let mut errors = Vec::new();
    match read::text(found, "pathType") {
        "" if !read::present(found, "pathType") => {
            return vec![path.child("pathType").required("pathType must be specified")];
        }
        "Exact" | "Prefix" => {
            errors.extend(absolute);
            for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.contains(sequence) {
                    errors.push(at.invalid(text, format!("must not contain '{sequence}'")));
                }
            }
            for suffix in ["/..", "/."] {
                if text.ends_with(suffix) {
                    errors.push(at.invalid(text, format!("cannot end with '{suffix}'")));
                }
            }
        }
        "ImplementationSpecific" => errors.extend(absolute.filter(|_| !text.is_empty())),
        other => errors.push(path.child("pathType").not_supported(other, &PATH_TYPES)),
    }
    let backend = found.get("backend").unwrap_or(&Value::Null);
    errors.extend(self::backend(backend, &path.child("backend")));
    errors
}

fn backend(backend: &Value, path: &Path) -> Vec<FieldError> {
    let part = |field: &str| backend.get(field).filter(|part| !part.is_null());
    match (part("resource"), part("service")) {
        (Some(_), Some(_)) => vec![path.invalid("", "cannot set both resource and service backends")],
        (Some(resource), None) => reference(resource, &path.child("resource")),
        (None, Some(service)) => service_backend(service, path),
        (None, None) => vec![path.invalid("", "resource or service backend is required")],
    }
}

fn service_backend(service: &Value, path: &Path) -> Vec<FieldError> {
    let at = path.child("service");
    let mut errors = naming::required(names::dns_label, read::text(service, "name"), &at.child("name"));
    let (name, number) = (
        read::text(service, "port.name"),
        read::count(service, "port.number"),
    );
    match (name, number) {
        ("", 0) => errors.push(path.required("port name or number is required")),
        ("", number) => {
            let rules = names::port_number(number).into_iter();
            errors.extend(rules.map(|rule| at.child("port.number").invalid(number, rule)));
        }
        (name, 0) => errors.extend(naming::broken(names::port_name, name, &at.child("port.name"))),
        _ => errors.push(path.invalid("", "cannot set both port name & port number")),
    }
    errors
}

/// What is wrong with a reference by group, kind and name.
fn reference(reference: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if read::present(reference, "apiGroup") {
        let group = read::text(reference, "apiGroup");
        errors.extend(naming::broken(
            names::dns_subdomain,
            group,
            &path.child("apiGroup"),
        ));
    }
    for field in ["kind", "name"] {
        let value = read::text(reference, field);
        errors.extend(naming::required(names::path_segment, value, &path.child(field)));
    }
    errors
}

/// What is wrong with a write of an Ingress's status; addresses that it had may stay as they are.
pub(crate) fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let list = "status.loadBalancer.ingress";
    let known: Vec<&str> = read::list(old, list)
        .iter()
        .map(|ingress| read::text(ingress, "ip"))
        .collect();
    let mut errors = Vec::new();
    for (index, ingress) in read::list(new, list).iter().enumerate() {
        let path = Path::new(list).index(index);
        let (ip, host) = (read::text(ingress, "ip"), read::text(ingress, "hostname"));
        if !ip.is_empty() && !known.contains(&ip) {
            errors.extend(naming::broken(address::ip, ip, &path.child("ip")));
        }
        if !host.is_empty() {
            let path = path.child("hostname");
            errors.extend(naming::broken(names::dns_subdomain, host, &path));
            if host.parse::<std::net::IpAddr>().is_ok() {
                errors.push(path.invalid(host, NO_ADDRESS));
            }
        }
    }
    errors
}

/// What is wrong with an IngressClass.
pub(crate) fn class(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec.controller");
    let mut errors = Vec::new();
    match read::text(object, "spec.controller") {
        "" => errors.push(path.required("")),
        controller => {
            if controller.len() > MAX_CONTROLLER {
                errors.push(path.too_long(MAX_CONTROLLER));
            }
            errors.extend(naming::domain_path(controller, &path));
        }
    }
    if let Some(parameters) = at(object, "spec.parameters").filter(|found| !found.is_null()) {
        errors.extend(class_parameters(parameters, &Path::new("spec.parameters")));
    }
    errors
}

fn class_parameters(parameters: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = reference(parameters, path);
    let namespace = path.child("namespace");
    let given = read::present(parameters, "namespace");
    match read::text(parameters, "scope") {
        "" if !read::present(parameters, "scope") => errors.push(path.child("scope").required("")),
        "Namespace" if !given => {
            errors.push(namespace.required("`parameters.scope` is set to 'Namespace'"));
        }
        "Namespace" => {
            let name = read::text(parameters, "namespace");
            errors.extend(naming::broken(names::dns_label, name, &namespace));
        }
        "Cluster" if given => errors.push(namespace.forbidden("`parameters.scope` is set to 'Cluster'")),
        "Cluster" => {}
        other => errors.push(
            path.child("scope")
                .not_supported(other, &["Cluster", "Namespace"]),
        ),
    }
    errors
}

/// What is wrong with an update of an IngressClass: its controller has taken it in hand.
pub(crate) fn class_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = change::immutable(new, old, "spec.controller")
        .into_iter()
        .collect();
    errors.extend(class(new));
    errors
}
