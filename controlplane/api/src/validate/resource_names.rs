//! Names of resources that are asked for, limited and counted.

use crate::field::{FieldError, Path};
use crate::names;

const OF_CONTAINERS: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];
/// Objects of which a quota counts how many there are; those of all other kinds go by `count/` and their name.
pub(crate) const COUNTED: [&str; 9] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
const ASKED: [&str; 7] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
];

/// Whether Kubernetes itself gives the name its meaning.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a node plugin gives the name its meaning.
fn is_extended(name: &str) -> bool {
    let asked = format!("requests.{name}");
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&asked).is_empty()
}

/// Whether amounts of the resource are whole numbers.
pub(crate) fn is_counted(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

/// Whether no more of the resource is given than there is, so that request and limit are one.
pub(crate) fn is_fixed(name: &str) -> bool {
    !is_native(name) || is_pages(name)
}

/// Whether a quota knows the name without a domain.
pub(crate) fn is_of_quota(name: &str) -> bool {
    OF_CONTAINERS.contains(&name)
        || ASKED.contains(&name)
        || COUNTED.contains(&name)
        || is_pages(name)
        || name.starts_with("requests.hugepages-")
}

/// What is wrong with the name of any resource.
pub(crate) fn any(name: &str, path: &Path) -> Vec<FieldError> {
    let rules = names::qualified_name(name);
    if !rules.is_empty() {
        return rules.into_iter().map(|rule| path.invalid(name, rule)).collect();
    }
    if name.contains('/') || name == "storage" || is_of_quota(name) {
        return Vec::new();
    }
    vec![path.invalid(name, "must be a standard resource type or fully qualified")]
}

/// What is wrong with the name of a resource that a container asks for.
pub(crate) fn of_container(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = any(name, path);
    if !name.contains('/') {
        if !OF_CONTAINERS.contains(&name) && !is_pages(name) {
            errors.push(path.invalid(name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(path.invalid(name, "doesn't follow extended resource name standard"));
    }
    errors
}

/// What is wrong with the name of a resource that a quota limits.
pub(crate) fn of_quota(name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = any(name, path);
    if !name.contains('/') && !is_of_quota(name) {
        errors.push(path.invalid(name, "must be a standard resource for quota"));
    }
    errors
}
