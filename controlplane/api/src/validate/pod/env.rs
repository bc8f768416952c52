//! Rules for environment variables.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;

const FIELD_PATHS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that exist for selectors and conversions and are not given to containers.
const OTHER_PATHS: [&str; 5] = [
    "metadata.labels",
    "metadata.annotations",
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
];
const AMOUNTS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const SOURCES: [&str; 4] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"];

/// What is wrong with `env` of a container.
pub(super) fn variables(container: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, variable) in read::list(container, "env").iter().enumerate() {
        let path = path.index(index);
        match read::text(variable, "name") {
            "" => errors.push(path.child("name").required("")),
            name => {
                errors.extend(
                    names::env_name(name)
                        .into_iter()
                        .map(|rule| path.child("name").invalid(name, rule)),
                );
            }
        }
        if read::present(variable, "valueFrom") {
            errors.extend(value_from(variable, &path.child("valueFrom")));
        }
    }
    errors
}

fn value_from(variable: &Value, path: &Path) -> Vec<FieldError> {
    let from = variable.get("valueFrom").unwrap_or(&Value::Null);
    let given: Vec<&&str> = SOURCES
        .iter()
        .filter(|source| read::present(from, source))
        .collect();
    let mut errors = Vec::new();
    if !read::text(variable, "value").is_empty() {
        errors.push(path.invalid("", "may not be specified when `value` is not empty"));
    }
    if given.is_empty() {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.push(path.invalid("", detail));
    } else if given.len() > 1 {
        errors.push(path.invalid("", "may not have more than one field specified at a time"));
    }
    for source in given {
        let value = from.get(*source).unwrap_or(&Value::Null);
        let path = path.child(source);
        errors.extend(match *source {
            "fieldRef" => field_ref(value, &FIELD_PATHS, &path),
            "resourceFieldRef" => resource_ref(value, &path),
            _ => key_ref(value, &path),
        });
    }
    errors
}

/// What is wrong with a reference to one of the pod's own fields.
pub(super) fn field_ref(reference: &Value, known: &[&str], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if at(reference, "apiVersion").is_some_and(|version| version == "") {
        errors.push(path.child("apiVersion").required(""));
    }
    let path = path.child("fieldPath");
    let field = read::text(reference, "fieldPath");
    let supported = || path.not_supported(field, known);
    match (field, field.split_once('[')) {
        ("", _) => errors.push(path.required("")),
        (_, Some(("metadata.labels" | "metadata.annotations", key))) => {
            errors.extend(subscript(field, key, &path))
        }
        (_, Some((outer, _))) => {
            let detail = format!("does not support subscript: field path \"{outer}\"");
            errors.push(path.invalid(field, detail));
        }
        (field, None) if known.contains(&field) => {}
        (field, None) if FIELD_PATHS.contains(&field) || OTHER_PATHS.contains(&field) => {
            errors.push(supported())
        }
        (field, None) => {
            let detail = format!("error converting fieldPath: field label not supported: {field}");
            errors.push(path.invalid(field, detail));
        }
    }
    errors
}

/// The `'key']` of `metadata.labels['key']`.
fn subscript(field: &str, rest: &str, path: &Path) -> Vec<FieldError> {
    let key = rest.strip_suffix("']").and_then(|rest| rest.strip_prefix('\''));
    let Some(key) = key else {
        return vec![path.invalid(field, "invalid subscript: must be of the form ['key']")];
    };
    names::qualified_name(&key.to_lowercase())
        .into_iter()
        .map(|rule| path.invalid(key, rule))
        .collect()
}

/// What is wrong with a reference to an amount of a container's resources.
pub(super) fn resource_ref(reference: &Value, path: &Path) -> Vec<FieldError> {
    match read::text(reference, "resource") {
        "" => vec![path.child("resource").required("")],
        resource if AMOUNTS.contains(&resource) => Vec::new(),
        resource if resource.contains(".hugepages-") => Vec::new(),
        resource => vec![path.child("resource").not_supported(resource, &AMOUNTS)],
    }
}

fn key_ref(reference: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match read::text(reference, "key") {
        "" => errors.push(path.child("key").required("")),
        key => errors.extend(
            names::config_key(key)
                .into_iter()
                .map(|rule| path.child("key").invalid(key, rule)),
        ),
    }
    errors
}

/// What is wrong with `envFrom` of a container.
pub(super) fn sources(container: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, source) in read::list(container, "envFrom").iter().enumerate() {
        let path = path.index(index);
        let prefix = read::text(source, "prefix");
        if !prefix.is_empty() {
            let rules = names::env_name(prefix);
            errors.extend(
                rules
                    .into_iter()
                    .map(|rule| path.child("prefix").invalid(prefix, rule)),
            );
        }
        let given: Vec<&str> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|kind| read::present(source, kind))
            .collect();
        match given.as_slice() {
            [] => errors.push(path.invalid("", "must specify one of: `configMapRef` or `secretRef`")),
            [kind] => {
                if read::text(source, &format!("{kind}.name")).is_empty() {
                    errors.push(path.child(kind).child("name").required(""));
                }
            }
            _ => errors.push(path.invalid("", "may not have more than one field specified at a time")),
        }
    }
    errors
}
