//! Rules for kinds that make pods from a template.

use serde_json::Value;

use super::number;
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{inner_form, metadata, template};

/// What is wrong with a Deployment.
pub(crate) fn deployment(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors: Vec<FieldError> = number::non_negative(spec, "replicas", &path)
        .into_iter()
        .collect();
    errors.extend(selector_and_template(spec, &path));
    errors.extend(strategy(
        spec.get("strategy").unwrap_or(&Value::Null),
        &path.child("strategy"),
    ));
    for field in ["minReadySeconds", "revisionHistoryLimit"] {
        errors.extend(number::non_negative(spec, field, &path));
    }
    if let Some(deadline) = read::integer(spec, "progressDeadlineSeconds") {
        let path = path.child("progressDeadlineSeconds");
        if deadline < 0 {
            errors.push(path.invalid(deadline, number::NON_NEGATIVE));
        }
        if deadline <= read::count(spec, "minReadySeconds") {
            errors.push(path.invalid(deadline, "must be greater than minReadySeconds"));
        }
    }
    errors
}

/// What is wrong with a ReplicaSet.
pub(crate) fn replica_set(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors = counts(spec, &["replicas", "minReadySeconds"], &path);
    errors.extend(selector_and_template(spec, &path));
    errors
}

/// The same for both kinds.
const WORDS: template::Words = template::Words {
    empty: "empty selector is invalid for deployment",
    broken: "invalid label selector",
};

fn selector_and_template(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (selector, mut errors) = template::selector(spec, WORDS, path);
    if let Some(selector) = selector {
        errors.extend(template::fits(spec, &selector, path));
        errors.extend(template::pods(spec, path));
        errors.extend(template::runs_on(spec, "ReplicaSet", path));
    }
    errors
}

/// Whether the values that a selector's expressions have for labels are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LabelValues {
    /// They are.
    #[default]
    Checked,
    /// They may be what they are: some were stored under older rules.
    Any,
}

/// What is wrong with an API label selector.
pub(crate) fn label_selector_errors(selector: &Value, path: &Path) -> Vec<FieldError> {
    selector_errors(selector, LabelValues::Checked, path)
}

/// How the selector of an object is looked at whose predecessor has `old`: what is wrong there may stay.
pub(crate) fn values_after(old: Option<&Value>) -> LabelValues {
    match old {
        Some(old) if !label_selector_errors(old, &Path::new("")).is_empty() => LabelValues::Any,
        _ => LabelValues::Checked,
    }
}

/// What is wrong with an API label selector, whose values are looked at or not.
pub(crate) fn selector_errors(selector: &Value, values: LabelValues, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in read::map(selector, "matchLabels") {
        let (path, value) = (path.child("matchLabels"), value.as_str().unwrap_or_default());
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|rule| path.invalid(key.as_str(), rule)),
        );
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|rule| path.invalid(value, rule)),
        );
    }
    for (index, expression) in read::list(selector, "matchExpressions").iter().enumerate() {
        errors.extend(expression_errors(
            expression,
            values,
            &path.child("matchExpressions").index(index),
        ));
    }
    errors
}

fn expression_errors(expression: &Value, checked: LabelValues, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let values = read::texts(expression, "values");
    match (read::text(expression, "operator"), values.is_empty()) {
        ("In" | "NotIn", true) => errors.push(
            path.child("values")
                .required("must be specified when `operator` is 'In' or 'NotIn'"),
        ),
        ("Exists" | "DoesNotExist", false) => errors.push(
            path.child("values")
                .forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        ),
        ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
        (other, _) => errors.push(
            path.child("operator")
                .invalid(other, "not a valid selector operator"),
        ),
    }
    let key = read::text(expression, "key");
    errors.extend(
        names::qualified_name(key)
            .into_iter()
            .map(|rule| path.child("key").invalid(key, rule)),
    );
    if checked == LabelValues::Any {
        return errors;
    }
    for (index, value) in values.into_iter().enumerate() {
        let path = path.child("values").index(index);
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|rule| path.invalid(value, rule)),
        );
    }
    errors
}

fn strategy(strategy: &Value, path: &Path) -> Vec<FieldError> {
    let rolling = strategy.get("rollingUpdate").filter(|rolling| !rolling.is_null());
    match (read::text(strategy, "type"), rolling) {
        ("Recreate", Some(_)) => {
            vec![
                path.child("rollingUpdate")
                    .forbidden("may not be specified when strategy `type` is 'Recreate'"),
            ]
        }
        ("RollingUpdate", None) => {
            vec![
                path.child("rollingUpdate")
                    .required("this should be defaulted and never be nil"),
            ]
        }
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &path.child("rollingUpdate")),
        ("Recreate", None) => Vec::new(),
        _ => {
            let form = inner_form::shown(Some(strategy), inner_form::ROLLING_STRATEGY);
            vec![
                path.not_supported(strategy.clone(), &["Recreate", "RollingUpdate"])
                    .shown_as(form),
            ]
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let field = |field: &str| rolling.get(field).filter(|value| !value.is_null());
    for name in ["maxUnavailable", "maxSurge"] {
        errors.extend(field(name).and_then(|value| number::amount_errors(value, &path.child(name))));
    }
    let path = path.child("maxUnavailable");
    let shown = field("maxUnavailable").cloned().unwrap_or_default();
    if number::is_none(rolling, "maxUnavailable") && number::is_none(rolling, "maxSurge") {
        errors.push(path.invalid(shown.clone(), "may not be 0 when `maxSurge` is 0"));
    }
    errors.extend(number::above_all(&shown, &path));
    errors
}

/// The selector of a workload never changes.
pub(crate) fn selector_changed(new: &Value, old: &Value) -> Option<FieldError> {
    let read = |object| at(object, "spec.selector").filter(|selector| !selector.is_null());
    let (new, old) = (read(new), read(old));
    (new != old).then(|| {
        let form = inner_form::shown(new, inner_form::LABEL_SELECTOR);
        let error = Path::new("spec.selector").invalid(new.cloned().unwrap_or_default(), metadata::IMMUTABLE);
        error.shown_as(form)
    })
}

/// What is wrong with numbers of a status that must not be below zero.
pub(crate) fn counts(status: &Value, fields: &[&str], path: &Path) -> Vec<FieldError> {
    fields
        .iter()
        .filter_map(|field| number::non_negative(status, field, path))
        .collect()
}

/// What is wrong with parts that are more than their whole: part, whole, and upstream's words.
pub(crate) fn at_most(status: &Value, pairs: &[(&str, &str, &str)], path: &Path) -> Vec<FieldError> {
    let found = pairs
        .iter()
        .filter(|(part, whole, _)| read::count(status, part) > read::count(status, whole));
    found
        .map(|(part, _, detail)| path.child(part).invalid(read::count(status, part), *detail))
        .collect()
}

/// What is wrong with a write of a Deployment's status.
pub(crate) fn deployment_status(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = counts(
        status,
        &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ],
        &path,
    );
    let detail = "cannot be greater than status.replicas";
    errors.extend(at_most(
        status,
        &[
            ("updatedReplicas", "replicas", detail),
            ("readyReplicas", "replicas", detail),
            ("availableReplicas", "replicas", detail),
            (
                "availableReplicas",
                "readyReplicas",
                "cannot be greater than readyReplicas",
            ),
        ],
        &path,
    ));
    errors.extend(collisions(new, old));
    errors
}

/// The count of collisions of names never falls.
pub(crate) fn collisions(new: &Value, old: &Value) -> Option<FieldError> {
    let read = |object| read::count(object, "status.collisionCount");
    let (before, after) = (read(old), read(new));
    (after < before).then(|| Path::new("status.collisionCount").invalid(after, "cannot be decremented"))
}

/// What is wrong with a write of a ReplicaSet's status.
pub(crate) fn replica_set_status(new: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = counts(
        status,
        &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "terminatingReplicas",
            "observedGeneration",
        ],
        &path,
    );
    let detail = "cannot be greater than status.replicas";
    errors.extend(at_most(
        status,
        &[
            ("fullyLabeledReplicas", "replicas", detail),
            ("readyReplicas", "replicas", detail),
            ("availableReplicas", "replicas", detail),
            (
                "availableReplicas",
                "readyReplicas",
                "cannot be greater than readyReplicas",
            ),
        ],
        &path,
    ));
    errors
}
