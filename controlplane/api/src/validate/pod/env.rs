//! Rules for environment variables.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{naming, resources};

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
    for source in &given {
        let value = from.get(**source).unwrap_or(&Value::Null);
        let path = path.child(source);
        errors.extend(match **source {
            "fieldRef" => field_ref(value, &FIELD_PATHS, &path),
            "resourceFieldRef" => resource_ref(value, Use::Variable, &path),
            _ => key_ref(value, &path),
        });
    }
    let detail = match given.len() {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        _ if !read::text(variable, "value").is_empty() => "may not be specified when `value` is not empty",
        1 => return errors,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(path.invalid("", detail));
    errors
}

/// What is wrong with a reference to one of the pod's own fields.
pub(super) fn field_ref(reference: &Value, known: &[&str], path: &Path) -> Vec<FieldError> {
    if at(reference, "apiVersion").is_some_and(|version| version == "") {
        return vec![path.child("apiVersion").required("")];
    }
    let whole = path;
    let path = path.child("fieldPath");
    let field = read::text(reference, "fieldPath");
    let version = read::text(reference, "apiVersion");
    let fault = |detail: String| vec![path.invalid(field, format!("error converting fieldPath: {detail}"))];
    if !field.is_empty() && !matches!(version, "" | "v1") {
        return fault(format!("unsupported pod version: {version}"));
    }
    let unknown = |detail: &str| fault(format!("{detail}: {field}"));
    match (field, subscript(field)) {
        ("", _) => vec![path.required("")],
        (_, Some(("metadata.annotations", key))) => {
            naming::broken(names::qualified_name, &key.to_lowercase(), whole)
        }
        (_, Some(("metadata.labels", key))) => naming::broken(names::qualified_name, key, whole),
        (_, Some(_)) => unknown("field label does not support subscript"),
        (field, None) if known.contains(&field) => Vec::new(),
        (field, None) if FIELD_PATHS.contains(&field) || OTHER_PATHS.contains(&field) => {
            vec![path.not_supported(field, known)]
        }
        (_, None) => unknown("field label not supported"),
    }
}

/// The two parts of `metadata.labels['key']`.
fn subscript(field: &str) -> Option<(&str, &str)> {
    let (outer, key) = field.strip_suffix("']")?.split_once("['")?;
    (!outer.is_empty()).then_some((outer, key))
}

/// For what an amount is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// For a variable of the container itself.
    Variable,
    /// For a file, which has to name the container.
    File,
}

const PAGES: [&str; 2] = ["limits.hugepages-", "requests.hugepages-"];
/// What amounts of bytes may be divided by.
const UNITS: [&str; 13] = [
    "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
];

/// What is wrong with a reference to an amount of a container's resources.
pub(super) fn resource_ref(reference: &Value, of: Use, path: &Path) -> Vec<FieldError> {
    let resource = read::text(reference, "resource");
    let unnamed = of == Use::File && read::text(reference, "containerName").is_empty();
    let known = AMOUNTS.contains(&resource) || PAGES.iter().any(|prefix| resource.starts_with(prefix));
    let mut errors = match resource {
        _ if unnamed => vec![path.child("containerName").required("")],
        "" => vec![path.child("resource").required("")],
        _ if known => Vec::new(),
        resource => vec![path.child("resource").not_supported(resource, &AMOUNTS)],
    };
    errors.extend(divisor(reference, resource, &path.child("divisor")));
    errors
}

fn divisor(reference: &Value, resource: &str, path: &Path) -> Option<FieldError> {
    let divisor = reference.get("divisor").and_then(resources::quantity)?;
    let what = match resource.split_once('.')?.1 {
        "cpu" => "cpu",
        "memory" => "memory",
        "ephemeral-storage" => "local ephemeral storage",
        name if name.starts_with("hugepages-") => "hugepages",
        _ => return None,
    };
    let shown = divisor.to_string();
    let (right, units) = match what {
        "cpu" => (["1m", "1"].contains(&shown.as_str()), "1m and 1".to_owned()),
        _ => (UNITS.contains(&shown.as_str()), UNITS.join(", ")),
    };
    let detail = format!("only divisor's values {units} are supported with the {what} resource");
    (!divisor.is_zero() && !right).then(|| path.invalid(resource, detail))
}

fn key_ref(reference: &Value, path: &Path) -> Vec<FieldError> {
    let name = read::text(reference, "name");
    let mut errors = naming::broken(names::dns_subdomain, name, &path.child("name"));
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
pub(super) fn sources(container: &Value, whole: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, source) in read::list(container, "envFrom").iter().enumerate() {
        let path = whole.index(index);
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
        for kind in &given {
            let name = read::text(source, &format!("{kind}.name"));
            errors.extend(naming::required(
                names::dns_subdomain,
                name,
                &path.child(kind).child("name"),
            ));
        }
        // The path is the list's, as upstream says it.
        match given.len() {
            0 => errors.push(whole.invalid("", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(whole.invalid("", "may not have more than one field specified at a time")),
        }
    }
    errors
}
