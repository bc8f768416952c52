//! Rules for pods and the templates they are made from.

pub(crate) mod annotations;
mod claims;
mod container;
mod env;
mod own_resources;
mod platform;
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
pub(crate) use volume::{host_path, iscsi_volume, legacy_source, no_backsteps};

use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::read;
use crate::validate::{endpoints, metadata, naming};

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const MAX_DEADLINE: i64 = i32::MAX as i64;

/// Whose spec is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// A pod with this name, which may be empty.
    Pod(&'a str),
    /// What pods are made from.
    Template,
}

impl<'a> Owner<'a> {
    fn pod_name(self) -> Option<&'a str> {
        match self {
            Self::Pod(name) => Some(name),
            Self::Template => None,
        }
    }
}

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
    errors.extend(annotations::agree(object, &path));
    errors
}

/// What is wrong with a pod, beside its metadata.
#[must_use]
pub fn pod(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let value = object.get("spec").unwrap_or(&Value::Null);
    let mut errors = annotations::check(object, &Path::new("metadata.annotations"));
    errors.extend(spec(value, Owner::Pod(meta::name(object)), &path));
    errors.extend(account_tokens(value, &path.child("volumes")));
    errors.extend(container::images(value, &path));
    errors
}

/// A token is somebody's.
fn account_tokens(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !read::text(spec, "serviceAccountName").is_empty() {
        return errors;
    }
    for (index, volume) in read::list(spec, "volumes").iter().enumerate() {
        let path = path.index(index).child("projected.sources");
        for (index, source) in read::list(volume, "projected.sources").iter().enumerate() {
            if read::present(source, "serviceAccountToken") {
                let detail = "must not be specified when serviceAccountName is not set";
                errors.push(path.index(index).child("serviceAccountToken").forbidden(detail));
            }
        }
    }
    errors
}

/// What is wrong with a pod's spec at `path`, in upstream's order; walks every list of containers.
#[must_use]
pub(crate) fn spec(spec: &Value, owner: Owner<'_>, path: &Path) -> Vec<FieldError> {
    let (volumes, mut errors) = volume::volumes(spec, owner, &path.child("volumes"));
    errors.extend(claims::all(spec, &path.child("resourceClaims")));
    errors.extend(container::all(spec, &volumes, path));
    errors.extend(own_resources::check(spec, &path.child("resources")));
    errors.extend(container::host_ports_match(
        spec,
        owner,
        &path.child("containers"),
    ));
    errors.extend(one_of(spec, "restartPolicy", &RESTART_POLICIES, path));
    errors.extend(one_of(spec, "dnsPolicy", &DNS_POLICIES, path));
    errors.extend(label_map(spec, "nodeSelector", path));
    errors.extend(security::pod(spec, path));
    errors.extend(scheduling::affinity(spec, path));
    errors.extend(dns(spec, path));
    errors.extend(readiness_gates(spec, &path.child("readinessGates")));
    errors.extend(scheduling::gates(spec, &path.child("schedulingGates")));
    errors.extend(scheduling::spread(spec, &path.child("topologySpreadConstraints")));
    errors.extend(platform::host_process(spec, path));
    errors.extend(security::user_namespace(spec, path));
    errors.extend(own_host_name(spec, path));
    for field in ["serviceAccountName", "nodeName"] {
        errors.extend(naming::optional(names::dns_subdomain, spec, field, path));
    }
    errors.extend(deadline(spec, path));
    for field in ["hostname", "subdomain"] {
        errors.extend(naming::optional(names::dns_label, spec, field, path));
    }
    errors.extend(scheduling::tolerations(spec, &path.child("tolerations")));
    errors.extend(host_aliases(spec, &path.child("hostAliases")));
    errors.extend(classes(spec, path));
    errors.extend(own_resources::overhead(spec, path));
    errors.extend(platform::check(spec, path));
    errors
}

/// What is wrong with the classes that a pod names, and with whom it may take the place of.
fn classes(spec: &Value, path: &Path) -> Vec<FieldError> {
    const PREEMPTION: [&str; 2] = ["PreemptLowerPriority", "Never"];
    let mut errors = naming::optional(names::dns_subdomain, spec, "priorityClassName", path);
    if let Some(class) = spec.get("runtimeClassName").and_then(Value::as_str) {
        let path = path.child("runtimeClassName");
        errors.extend(naming::broken(names::dns_subdomain, class, &path));
    }
    if read::present(spec, "preemptionPolicy") {
        errors.extend(one_of(spec, "preemptionPolicy", &PREEMPTION, path));
    }
    errors
}

fn deadline(spec: &Value, path: &Path) -> Option<FieldError> {
    let seconds = read::integer(spec, "activeDeadlineSeconds")?;
    let rule = format!("must be between 1 and {MAX_DEADLINE}, inclusive");
    (!(1..=MAX_DEADLINE).contains(&seconds))
        .then(|| path.child("activeDeadlineSeconds").invalid(seconds, rule))
}

/// What is wrong with a text that must be one of `known`.
pub(crate) fn one_of(object: &Value, field: &str, known: &[&str], path: &Path) -> Option<FieldError> {
    match read::text(object, field) {
        "" => Some(path.child(field).required("")),
        value if known.contains(&value) => None,
        value => Some(path.child(field).not_supported(value, known)),
    }
}

/// Characters of a host name, as Linux bounds them.
const MAX_HOST_NAME: usize = 64;

/// What is wrong with the host name that a pod has instead of those which Kubernetes makes for it.
fn own_host_name(spec: &Value, path: &Path) -> Vec<FieldError> {
    let name = read::text(spec, "hostnameOverride");
    if name.is_empty() {
        return Vec::new();
    }
    let at = path.child("hostnameOverride");
    let mut errors = Vec::new();
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if read::flag(spec, field) {
            errors.push(at.forbidden(format!("may not be specified when {field} is true")));
        }
    }
    if name.len() > MAX_HOST_NAME {
        errors.push(at.too_long(MAX_HOST_NAME));
    }
    errors.extend(naming::broken(names::dns_subdomain, name, &at));
    errors
}

fn host_aliases(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, alias) in read::list(spec, "hostAliases").iter().enumerate() {
        let path = path.index(index);
        errors.extend(endpoints::ip_error(read::text(alias, "ip"), &path.child("ip")));
        for (index, name) in read::texts(alias, "hostnames").into_iter().enumerate() {
            let path = path.child("hostnames").index(index);
            errors.extend(naming::broken(names::dns_subdomain, name, &path));
        }
    }
    errors
}

fn readiness_gates(spec: &Value, path: &Path) -> Vec<FieldError> {
    let gates = read::list(spec, "readinessGates").iter().enumerate();
    let broken = |(index, gate): (usize, &Value)| {
        let path = path.index(index).child("conditionType");
        naming::broken(names::qualified_name, read::text(gate, "conditionType"), &path)
    };
    gates.flat_map(broken).collect()
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
            return vec![path.child("nameservers").required(detail)];
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
    errors.extend(searches(spec, &path.child("searches")));
    for (index, option) in read::list(spec, "dnsConfig.options").iter().enumerate() {
        if read::text(option, "name").is_empty() {
            errors.push(path.child("options").index(index).required("must not be empty"));
        }
    }
    errors
}

const MAX_SEARCH_CHARS: usize = 2048;

fn searches(spec: &Value, path: &Path) -> Vec<FieldError> {
    let searches = read::texts(spec, "dnsConfig.searches");
    let mut errors = Vec::new();
    if searches.len() > MAX_SEARCHES {
        let detail = format!("must not have more than {MAX_SEARCHES} search paths");
        errors.push(path.invalid(searches.clone(), detail));
    }
    if searches.join(" ").len() > MAX_SEARCH_CHARS {
        let detail = format!(
            "must not have more than {MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        );
        errors.push(path.invalid(searches.clone(), detail));
    }
    for (index, search) in searches
        .into_iter()
        .enumerate()
        .filter(|(_, search)| *search != ".")
    {
        let search = search.strip_suffix('.').unwrap_or(search);
        errors.extend(naming::broken(naming::search_domain, search, &path.index(index)));
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
