//! Rules for what an autoscaler measures.

use serde_json::Value;

use super::reference;
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{naming, resource_names, resources, volume_claim};

/// The kinds of metrics, with the field that each is told in, in upstream's order of looking.
const KINDS: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const KNOWN: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
const TARGETS: [&str; 3] = ["Utilization", "Value", "AverageValue"];
const NOT_POSITIVE: &str = "must be positive";

/// What is wrong with `metrics`.
pub(super) fn all(spec: &Value, path: &Path) -> Vec<FieldError> {
    let metrics = read::list(spec, "metrics");
    let mut errors = Vec::new();
    for (index, metric) in metrics.iter().enumerate() {
        errors.extend(one(metric, &path.index(index)));
    }
    let outside = metrics
        .iter()
        .any(|metric| matches!(read::text(metric, "type"), "Object" | "External"));
    if read::integer(spec, "minReplicas") == Some(0) && !outside {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(path.forbidden(detail));
    }
    errors
}

fn one(metric: &Value, path: &Path) -> Vec<FieldError> {
    let kind = read::text(metric, "type");
    let mut errors = Vec::new();
    if kind.is_empty() {
        errors.push(path.child("type").required("must specify a metric source type"));
    }
    // Upstream looks at the type before the sources, and at the end once more.
    let unknown = (!KNOWN.contains(&kind)).then(|| path.child("type").not_supported(kind, &KNOWN));
    errors.extend(unknown.clone());
    let given: Vec<&str> = KINDS
        .iter()
        .map(|(_, field)| *field)
        .filter(|field| read::present(metric, field))
        .collect();
    if let Some((field, source)) = given
        .first()
        .and_then(|field| Some((*field, metric.get(*field)?)))
    {
        errors.extend(one_source(field, source, &path.child(field)));
    }
    let wanted = KINDS
        .iter()
        .find(|(known, _)| *known == kind)
        .map(|(_, field)| *field);
    match wanted {
        Some(field) if !given.contains(&field) => errors.push(
            path.child(field)
                .required("must populate information for the given metric source"),
        ),
        Some(_) => {}
        None => errors.extend(unknown),
    }
    if given.len() != 1 {
        let others = given.into_iter().filter(|field| Some(*field) != wanted);
        errors.extend(others.map(|field| {
            path.child(field)
                .forbidden("must populate the given metric source only")
        }));
    }
    errors
}

fn one_source(field: &str, source: &Value, path: &Path) -> Vec<FieldError> {
    let has = |value: &str| read::present(source, &format!("target.{value}"));
    let (value, average, utilization) = (has("value"), has("averageValue"), has("averageUtilization"));
    let mut errors = subject(field, source, path);
    errors.extend(target(source, &path.child("target")));
    let target = path.child("target");
    match field {
        "object" if !value && !average => errors.push(
            target
                .child("averageValue")
                .required("must set either a target value or averageValue"),
        ),
        "external" if !value && !average => errors.push(
            target
                .child("averageValue")
                .required("must set either a target value for metric or a per-pod target"),
        ),
        "external" if value && average => errors.push(
            target
                .child("value")
                .forbidden("may not set both a target value for metric and a per-pod target"),
        ),
        "pods" if !average => errors.push(
            target
                .child("averageValue")
                .required("must specify a positive target averageValue"),
        ),
        "resource" | "containerResource" if !utilization && !average => errors.push(
            target
                .child("averageUtilization")
                .required("must set either a target raw value or a target utilization"),
        ),
        "resource" | "containerResource" if utilization && average => errors.push(
            target
                .child("averageValue")
                .forbidden("may not set both a target raw value and a target utilization"),
        ),
        _ => {}
    }
    errors
}

/// What is measured: a metric by name, or a resource.
fn subject(field: &str, source: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match field {
        "resource" | "containerResource" => {
            let name = read::text(source, "name");
            if name.is_empty() {
                errors.push(path.child("name").required("must specify a resource name"));
            }
            if field == "containerResource" {
                errors.extend(in_container(source, name, path));
            }
        }
        _ => {
            if field == "object" {
                errors.extend(reference(source, path, "describedObject"));
            }
            let (name, path) = (read::text(source, "metric.name"), path.child("metric.name"));
            if name.is_empty() {
                errors.push(path.required("must specify a metric name"));
            }
            let rules = names::path_segment(name).into_iter();
            errors.extend(rules.map(|rule| path.invalid(name, rule)));
        }
    }
    errors
}

/// What is wrong with a resource of one container, and with the container's name.
fn in_container(source: &Value, name: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !name.is_empty() {
        errors.extend(resource_names::of_container(name, &path.child("name")));
    }
    let path = path.child("container");
    match read::text(source, "container") {
        "" => errors.push(path.required("must specify a container")),
        container => errors.extend(naming::broken(names::dns_label, container, &path)),
    }
    errors
}

fn target(source: &Value, path: &Path) -> Vec<FieldError> {
    let target = source.get("target").unwrap_or(&Value::Null);
    let kind = read::text(target, "type");
    let mut errors = Vec::new();
    if kind.is_empty() {
        errors.push(path.child("type").required("must specify a metric target type"));
    }
    if !TARGETS.contains(&kind) {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(path.child("type").invalid(kind, detail));
    }
    for field in ["value", "averageValue"] {
        let value = target.get(field).filter(|value| !value.is_null());
        if let Some(mut error) = value.and_then(|value| volume_claim::positive(value, &path.child(field))) {
            NOT_POSITIVE.clone_into(&mut error.detail);
            error.bad_value = value.map(resources::shown).unwrap_or_default();
            errors.push(error);
        }
    }
    if let Some(share) = read::integer(target, "averageUtilization").filter(|share| *share < 1) {
        errors.push(
            path.child("averageUtilization")
                .invalid(share, "must be greater than 0"),
        );
    }
    errors
}
