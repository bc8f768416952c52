//! Which requests a webhook or policy is for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::naming;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const ANY: &str = "*";

/// What is wrong with a rule that names operations and resources.
pub(super) fn rule(rule: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = values(rule, "operations", "operations", path);
    for (index, operation) in read::texts(rule, "operations").into_iter().enumerate() {
        if !OPERATIONS.contains(&operation) {
            let path = path.child("operations").index(index);
            errors.push(path.not_supported(operation, &OPERATIONS));
        }
    }
    errors.extend(values(rule, "apiGroups", "API groups", path));
    errors.extend(values(rule, "apiVersions", "API versions", path));
    let empty = read::texts(rule, "apiVersions").into_iter().enumerate();
    let empty = empty.filter(|(_, version)| version.is_empty());
    errors.extend(empty.map(|(index, _)| path.child("apiVersions").index(index).required("")));
    errors.extend(resources(rule, &path.child("resources")));
    errors.extend(naming::choice(rule, "scope", &SCOPES, path));
    errors
}

/// What is wrong with a rule of a policy, which may name objects, too.
pub(super) fn named_rule(named: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, name) in read::texts(named, "resourceNames").into_iter().enumerate() {
        let path = path.child("resourceNames").index(index);
        errors.extend(naming::broken(names::path_segment, name, &path));
        if !seen.insert(name) {
            errors.push(path.duplicate(name));
        }
    }
    errors.extend(rule(named, path));
    errors
}

/// A list that must not be empty, and in which `*` stands alone.
fn values(rule: &Value, field: &str, others: &str, path: &Path) -> Vec<FieldError> {
    let (values, path) = (read::texts(rule, field), path.child(field));
    if values.is_empty() {
        return vec![path.required("")];
    }
    if values.len() > 1 && values.contains(&ANY) {
        let detail = format!("if '*' is present, must not specify other {others}");
        return vec![path.invalid(values, detail)];
    }
    Vec::new()
}

fn resources(rule: &Value, path: &Path) -> Vec<FieldError> {
    let resources = read::texts(rule, "resources");
    let mut errors = Vec::new();
    if resources.is_empty() {
        errors.push(path.required(""));
    }
    let (mut whole, mut parts) = (BTreeSet::new(), BTreeSet::new());
    let mut plain = false;
    for (index, found) in resources.iter().enumerate() {
        let path = path.index(index);
        if found.is_empty() {
            errors.push(path.required(""));
            continue;
        }
        let Some((resource, part)) = found.split_once('/') else {
            plain = *found != ANY;
            continue;
        };
        let mut covered = |by: String| {
            let detail = format!("if '{by}' is present, must not specify {found}");
            errors.push(path.invalid(*found, detail));
        };
        if whole.contains(resource) {
            covered(format!("{resource}/*"));
        }
        if parts.contains(part) {
            covered(format!("*/{part}"));
        }
        if part == ANY {
            whole.insert(resource);
        }
        if resource == ANY {
            parts.insert(part);
        }
    }
    if resources.len() > 1 && resources.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(path.invalid(resources.clone(), detail));
    }
    if resources.contains(&ANY) && plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(path.invalid(resources, detail));
    }
    errors
}
