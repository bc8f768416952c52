//! Rules for Services.

mod addresses;
mod cluster;
mod policies;
mod ports;
mod status;
mod update;
mod warnings;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{address, endpoints, metadata};

pub(crate) use cluster::{CONFIGURED, family_of};
pub(crate) use policies::{is_external, is_health_checked};
pub(crate) use status::status;
use update::update;
pub(crate) use warnings::warnings;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const AFFINITIES: [&str; 2] = ["ClientIP", "None"];
const OLD_TOPOLOGY: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY: &str = "service.kubernetes.io/topology-mode";
const MAX_STICKY_SECONDS: i64 = 86_400;

/// What is wrong with a new Service.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    match asked(object, None) {
        alone if alone.is_empty() => spec(object, None),
        alone => alone,
    }
}

/// What is wrong with an update of a Service; addresses that `old` has may stay as they are written.
pub(crate) fn changed(new: &Value, old: &Value) -> Vec<FieldError> {
    let alone = asked(new, Some(old));
    if !alone.is_empty() {
        return alone;
    }
    let mut errors = update(new, old);
    errors.extend(spec(new, Some(old)));
    errors
}

/// What is wrong with the addresses that a Service asks for. They are given before the rest is looked at, so this comes
/// alone.
fn asked(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match addresses::related(object, old) {
        related if related.is_empty() => cluster::errors(object),
        related => related,
    }
}

/// What is wrong with a Service that asks for addresses rightly; those that `old` has may stay as they are written.
fn spec(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors: Vec<FieldError> = topology(object).into_iter().collect();
    errors.extend(ports::any(object, &path));
    errors.extend(by_type(object, &path));
    errors.extend(ports::each(object, &path.child("ports")));
    let selector = read::map(object, "spec.selector")
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    errors.extend(metadata::label_errors(&selector, &path.child("selector")));
    errors.extend(choice(object, "sessionAffinity", &AFFINITIES, Need::Required));
    errors.extend(sticky(object, &path.child("sessionAffinityConfig")));
    errors.extend(external(object, old, &path.child("externalIPs")));
    errors.extend(choice(object, "type", &TYPES, Need::Required));
    errors.extend(ports::unique(object, &path.child("ports")));
    errors.extend(policies::load_balancer(object, old, &path));
    errors.extend(policies::traffic(object, &path));
    errors
}

fn external(object: &Value, old: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let kept = old
        .map(|old| read::texts(old, "spec.externalIPs"))
        .unwrap_or_default();
    let mut errors = Vec::new();
    for (index, text) in read::texts(object, "spec.externalIPs").into_iter().enumerate() {
        let path = path.index(index);
        let rules = address::ip_or_kept(text, &kept);
        if rules.is_empty() {
            errors.extend(endpoints::special(text, &path));
        }
        errors.extend(rules.into_iter().map(|rule| path.invalid(text, rule)));
    }
    errors
}

/// The old annotation for topology and the one that took its place say the same.
fn topology(object: &Value) -> Option<FieldError> {
    let annotations = crate::meta::annotations(object);
    let (old, new) = (annotations.get(OLD_TOPOLOGY)?, annotations.get(TOPOLOGY)?);
    let detail = format!("must match annotations[{OLD_TOPOLOGY}] when both are specified");
    (old != new).then(|| {
        Path::new("metadata.annotations")
            .key(TOPOLOGY)
            .invalid(new.as_str(), detail)
    })
}

/// The type of a Service.
pub(crate) fn kind(object: &Value) -> &str {
    read::text(object, "spec.type")
}

/// Whether a Service has no address on purpose.
pub(crate) fn is_headless(object: &Value) -> bool {
    read::texts(object, "spec.clusterIPs").as_slice() == ["None"]
        || read::text(object, "spec.clusterIP") == "None"
}

/// Whether the control plane finds a Service's endpoints, by labels of pods.
pub(crate) fn has_selector(object: &Value) -> bool {
    read::map(object, "spec.selector").next().is_some()
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

fn by_type(object: &Value, path: &Path) -> Vec<FieldError> {
    match kind(object) {
        "ExternalName" => external_name(object, path),
        kind @ ("LoadBalancer" | "NodePort") if is_headless(object) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            vec![path.child("clusterIPs").index(0).invalid("None", detail)]
        }
        _ => Vec::new(),
    }
}

fn external_name(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let path = path.child(field);
        let empty = match at(object, path.as_str()) {
            None | Some(Value::Null) => true,
            Some(Value::Array(list)) => list.is_empty(),
            Some(_) => false,
        };
        if !empty {
            errors.push(path.forbidden("may not be set for ExternalName services"));
        }
    }
    let path = path.child("externalName");
    let name = read::text(object, "spec.externalName");
    // A trailing dot says that the name is complete.
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errors.push(path.required("")),
        bare => errors.extend(
            names::dns_subdomain(bare)
                .into_iter()
                .map(|rule| path.invalid(bare, rule)),
        ),
    }
    errors
}

/// What is wrong with how long a client stays with its endpoint.
fn sticky(object: &Value, path: &Path) -> Option<FieldError> {
    let needed = "when session affinity type is ClientIP";
    let seconds = read::integer(object, "spec.sessionAffinityConfig.clientIP.timeoutSeconds");
    let present = |field: &str| read::present(object, field);
    match (read::text(object, "spec.sessionAffinity"), seconds) {
        ("None", _) if present("spec.sessionAffinityConfig") => {
            Some(path.forbidden("must not be set when session affinity is None"))
        }
        ("ClientIP", None) if !present("spec.sessionAffinityConfig") => Some(path.required(needed)),
        ("ClientIP", None) if !present("spec.sessionAffinityConfig.clientIP") => {
            Some(path.child("clientIP").required(needed))
        }
        ("ClientIP", None) => Some(path.child("clientIP.timeoutSeconds").required(needed)),
        ("ClientIP", Some(seconds)) if !(1..=MAX_STICKY_SECONDS).contains(&seconds) => {
            let detail = format!("must be greater than 0 and less than {MAX_STICKY_SECONDS}");
            Some(path.child("clientIP.timeoutSeconds").invalid(seconds, detail))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
