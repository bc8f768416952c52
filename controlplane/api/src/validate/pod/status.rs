//! Rules for a pod's status.

use std::net::IpAddr;

use serde_json::Value;

use super::annotations;
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::inner_form::formed;
use crate::validate::inner_form::of_core::IP;
use crate::validate::metadata::IMMUTABLE;
use crate::validate::{endpoints, naming};

/// What is wrong with a write of a pod's status.
pub(crate) fn status_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let mut errors = annotations::update(new, old);
    errors.extend(conditions(new));
    let nominated = read::text(new, "status.nominatedNodeName");
    if nominated != read::text(old, "status.nominatedNodeName") && !nominated.is_empty() {
        let path = path.child("nominatedNodeName");
        errors.extend(naming::broken(names::dns_subdomain, nominated, &path));
    }
    if let Some(class) = at(old, "status.qosClass")
        && at(new, "status.qosClass") != Some(class)
    {
        let now = at(new, "status.qosClass").cloned().unwrap_or_default();
        errors.push(path.child("qosClass").invalid(now, IMMUTABLE));
    }
    let policy = read::text(new, "spec.restartPolicy");
    for (list, policy) in [
        ("containerStatuses", policy),
        ("initContainerStatuses", policy),
        ("ephemeralContainerStatuses", "Never"),
    ] {
        errors.extend(revived((new, old), list, policy, &path.child(list)));
    }
    errors.extend(claim_statuses(new, &path.child("resourceClaimStatuses")));
    errors.extend(addresses(new, "podIPs", &path));
    let (host, hosts) = (
        read::text(new, "status.hostIP"),
        read::list(new, "status.hostIPs"),
    );
    if let Some(first) = hosts
        .first()
        .map(|first| read::text(first, "ip"))
        .filter(|first| *first != host)
    {
        let path = path.child("hostIPs").index(0).child("ip");
        errors.push(path.invalid(first, "must be equal to `hostIP`"));
    }
    errors.extend(addresses(new, "hostIPs", &path));
    errors
}

/// What is wrong with the types of conditions. Upstream's path begins with `metadata`.
fn conditions(pod: &Value) -> Vec<FieldError> {
    const KNOWN: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];
    let path = Path::new("metadata.conditions");
    let all = read::list(pod, "status.conditions").iter().enumerate();
    all.map(|(index, condition)| (index, read::text(condition, "type")))
        .filter(|(_, kind)| !KNOWN.contains(kind))
        .flat_map(|(index, kind)| {
            naming::broken(names::qualified_name, kind, &path.index(index).child("Type"))
        })
        .collect()
}

fn claim_statuses(pod: &Value, path: &Path) -> Vec<FieldError> {
    let known: Vec<&str> = read::list(pod, "spec.resourceClaims")
        .iter()
        .map(|claim| read::text(claim, "name"))
        .collect();
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, status) in read::list(pod, "status.resourceClaimStatuses").iter().enumerate() {
        let path = path.index(index).child("name");
        let name = read::text(status, "name");
        if !known.contains(&name) {
            errors.push(path.invalid(name, "must match the name of an entry in `spec.resourceClaims`"));
        }
        if seen.contains(&name) {
            errors.push(path.duplicate(name));
        }
        seen.push(name);
        if let Some(claim) = status.get("resourceClaimName").and_then(Value::as_str) {
            errors.extend(naming::broken(names::dns_subdomain, claim, &path));
        }
    }
    errors
}

/// What is wrong with addresses, of which there is at most one of each family.
fn addresses(pod: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let path = path.child(field);
    let list = read::list(pod, &format!("status.{field}"));
    let texts: Vec<&str> = list.iter().map(|address| read::text(address, "ip")).collect();
    let mut errors = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        errors.extend(endpoints::ip_error(text, &path.index(index)));
    }
    let parsed: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let dual = matches!(parsed.as_slice(), [one, other] if one.is_ipv4() != other.is_ipv4());
    if list.len() > 1 && !dual {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(formed(path.invalid(list.to_vec(), detail), IP));
    }
    for (index, text) in texts.iter().enumerate() {
        if texts.iter().take(index).any(|other| other == text) {
            let twice = list.get(index).cloned().unwrap_or_default();
            errors.push(formed(path.index(index).duplicate(twice), IP));
        }
    }
    errors
}

/// A container that has ended for good does not run again.
fn revived((new, old): (&Value, &Value), list: &str, policy: &str, path: &Path) -> Vec<FieldError> {
    if policy == "Always" {
        return Vec::new();
    }
    let read_list = |object| read::list(object, &format!("status.{list}"));
    let retried = policy == "OnFailure";
    let mut errors = Vec::new();
    for (index, before) in read_list(old).iter().enumerate() {
        let name = read::text(before, "name");
        let failed = read::count(before, "state.terminated.exitCode") != 0;
        if !read::present(before, "state.terminated") || (failed && retried) || is_sidecar(new, list, name) {
            continue;
        }
        let after = read_list(new)
            .iter()
            .find(|status| read::text(status, "name") == name);
        if after.is_some_and(|after| !read::present(after, "state.terminated")) {
            errors.push(
                path.index(index)
                    .child("state")
                    .forbidden("may not be transitioned to non-terminated state"),
            );
        }
    }
    errors
}

/// Sidecars run again whatever the pod's policy; so upstream lets them.
fn is_sidecar(pod: &Value, list: &str, name: &str) -> bool {
    list == "initContainerStatuses"
        && read::list(pod, "spec.initContainers").iter().any(|container| {
            read::text(container, "name") == name && read::text(container, "restartPolicy") == "Always"
        })
}
