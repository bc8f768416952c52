//! Rules for pods and the templates they are made from.

mod container;
mod env;
mod probe;
mod resize;
mod scheduling;
mod security;
mod status;
mod update;
mod volume;
pub(crate) mod warnings;

use serde_json::Value;

pub(crate) use resize::{ephemeral, resize};
pub(crate) use scheduling::{node_selector, tolerations};
pub(crate) use status::status_update;
pub(crate) use update::update;
pub(crate) use volume::{host_path, no_backsteps};

use crate::field::{FieldError, Path};
use crate::names::{self, NameCheck};
use crate::read;
use crate::validate::{endpoints, metadata};

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const MAX_DEADLINE: i64 = i32::MAX as i64;

/// What is wrong with a new pod, beside its metadata.
#[must_use]
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = pod(object);
    if !read::list(object, "spec.ephemeralContainers").is_empty() {
        errors.push(
            path.child("ephemeralContainers")
                .forbidden("cannot be set on create"),
        );
    }
    let gated = !read::list(object, "spec.schedulingGates").is_empty();
    if gated && !read::text(object, "spec.nodeName").is_empty() {
        errors.push(
            path.child("nodeName")
                .forbidden("cannot be set until all schedulingGates have been cleared"),
        );
    }
    errors
}

/// What is wrong with a pod, beside its metadata.
#[must_use]
pub fn pod(object: &Value) -> Vec<FieldError> {
    spec(object.get("spec").unwrap_or(&Value::Null), &Path::new("spec"))
}

/// What is wrong with a pod's spec at `path`; walks every list of containers.
#[must_use]
pub fn spec(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (volumes, mut errors) = volume::volumes(spec, &path.child("volumes"));
    errors.extend(container::all(spec, &volumes, path));
    errors.extend(policies(spec, path));
    errors.extend(security::pod(spec, path));
    errors.extend(scheduling::all(spec, path));
    errors.extend(names_of(spec, path));
    errors.extend(network(spec, path));
    if let Some(seconds) = read::integer(spec, "activeDeadlineSeconds")
        && !(1..=MAX_DEADLINE).contains(&seconds)
    {
        let rule = format!("must be between 1 and {MAX_DEADLINE}, inclusive");
        errors.push(path.child("activeDeadlineSeconds").invalid(seconds, rule));
    }
    errors
}

/// What is wrong with a text that must be one of `known`.
pub(crate) fn one_of(object: &Value, field: &str, known: &[&str], path: &Path) -> Option<FieldError> {
    match read::text(object, field) {
        "" => Some(path.child(field).required("")),
        value if known.contains(&value) => None,
        value => Some(path.child(field).not_supported(value, known)),
    }
}

fn policies(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = Vec::new();
    errors.extend(one_of(spec, "restartPolicy", &RESTART_POLICIES, path));
    errors.extend(one_of(spec, "dnsPolicy", &DNS_POLICIES, path));
    let preemption = read::text(spec, "preemptionPolicy");
    if !matches!(preemption, "" | "Never" | "PreemptLowerPriority") {
        let known = ["PreemptLowerPriority", "Never"];
        errors.push(path.child("preemptionPolicy").not_supported(preemption, &known));
    }
    errors
}

fn names_of(spec: &Value, path: &Path) -> Vec<FieldError> {
    let checks: [(&str, NameCheck); 6] = [
        ("serviceAccountName", names::dns_subdomain),
        ("nodeName", names::dns_subdomain),
        ("priorityClassName", names::dns_subdomain),
        ("runtimeClassName", names::dns_subdomain),
        ("hostname", names::dns_label),
        ("subdomain", names::dns_label),
    ];
    let mut errors = Vec::new();
    for (field, check) in checks {
        let value = read::text(spec, field);
        if !value.is_empty() {
            errors.extend(
                check(value)
                    .into_iter()
                    .map(|rule| path.child(field).invalid(value, rule)),
            );
        }
    }
    errors
}

fn network(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = dns(spec, path);
    for (index, alias) in read::list(spec, "hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        errors.extend(endpoints::ip_error(read::text(alias, "ip"), &path.child("ip")));
        for (index, name) in read::texts(alias, "hostnames").into_iter().enumerate() {
            let path = path.child("hostnames").index(index);
            errors.extend(
                names::dns_subdomain(name)
                    .into_iter()
                    .map(|rule| path.invalid(name, rule)),
            );
        }
    }
    for (index, gate) in read::list(spec, "readinessGates").iter().enumerate() {
        let path = path.child("readinessGates").index(index).child("conditionType");
        let kind = read::text(gate, "conditionType");
        errors.extend(
            names::qualified_name(kind)
                .into_iter()
                .map(|rule| path.invalid(kind, rule)),
        );
    }
    errors
}

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;

fn dns(spec: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("dnsConfig");
    let servers = read::texts(spec, "dnsConfig.nameservers");
    let mut errors = Vec::new();
    if read::text(spec, "dnsPolicy") == "None" {
        if !read::present(spec, "dnsConfig") {
            return vec![path.required("must provide `dnsConfig` when `dnsPolicy` is None")];
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(path.child("nameservers").required(detail));
        }
    }
    if servers.len() > MAX_NAMESERVERS {
        let detail = "must not have more than 3 nameservers";
        errors.push(path.child("nameservers").invalid(servers.clone(), detail));
    }
    for (index, server) in servers.into_iter().enumerate() {
        errors.extend(endpoints::ip_error(
            server,
            &path.child("nameservers").index(index),
        ));
    }
    let searches = read::texts(spec, "dnsConfig.searches");
    if searches.len() > MAX_SEARCHES {
        errors.push(
            path.child("searches")
                .invalid(searches, "must not have more than 32 search paths"),
        );
    }
    for (index, option) in read::list(spec, "dnsConfig.options").iter().enumerate() {
        if read::text(option, "name").is_empty() {
            errors.push(path.child("options").index(index).required("must not be empty"));
        }
    }
    errors
}

/// What is wrong with a plain map of labels at the member `field`.
pub(crate) fn label_map(object: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let labels = read::map(object, field)
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    metadata::label_errors(&labels, &path.child(field))
}

#[cfg(test)]
mod tests;
