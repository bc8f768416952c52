//! Rules for DaemonSets.

use serde_json::Value;

use super::workload::{self, counts, label_selector_errors};
use super::{inner_form, number, template};
use crate::field::{FieldError, Path};
use crate::read;
use crate::selector::LabelSelector;

/// What is wrong with a DaemonSet.
pub(crate) fn daemon_set(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors = selector(spec, &path);
    errors.extend(template::pods(spec, &path));
    errors.extend(template::runs_on(spec, "DaemonSet", &path));
    errors.extend(number::non_negative(spec, "minReadySeconds", &path));
    errors.extend(strategy(
        spec.get("updateStrategy").unwrap_or(&Value::Null),
        &path.child("updateStrategy"),
    ));
    errors.extend(number::non_negative(spec, "revisionHistoryLimit", &path));
    errors
}

/// An absent selector is not an error of its own: it selects nothing, so it does not fit the template.
fn selector(spec: &Value, path: &Path) -> Vec<FieldError> {
    let raw = spec.get("selector").unwrap_or(&Value::Null);
    let mut errors = label_selector_errors(raw, &path.child("selector"));
    if let Ok(selector) = LabelSelector::from_json(raw) {
        errors.extend(template::fits(spec, &selector, path));
        if selector.is_everything() {
            let detail = "empty selector is invalid for daemonset";
            let form = inner_form::shown(Some(raw), inner_form::LABEL_SELECTOR);
            errors.push(path.child("selector").invalid(raw.clone(), detail).shown_as(form));
        }
    }
    errors
}

fn strategy(strategy: &Value, path: &Path) -> Vec<FieldError> {
    match read::text(strategy, "type") {
        "OnDelete" => Vec::new(),
        "RollingUpdate" => match strategy.get("rollingUpdate").filter(|rolling| !rolling.is_null()) {
            Some(rolling) => rolling_update(rolling, &path.child("rollingUpdate")),
            None => vec![path.child("rollingUpdate").required("")],
        },
        _ => {
            let form = inner_form::shown(Some(strategy), inner_form::ROLLING_STRATEGY);
            vec![
                path.not_supported(strategy.clone(), &["RollingUpdate", "OnDelete"])
                    .shown_as(form),
            ]
        }
    }
}

/// Pods are replaced either by stopping the old one first or by starting the new one first.
fn rolling_update(rolling: &Value, path: &Path) -> Vec<FieldError> {
    let field = |name: &str| rolling.get(name).filter(|value| !value.is_null());
    let mut errors = Vec::new();
    for name in ["maxUnavailable", "maxSurge"] {
        errors.extend(field(name).and_then(|value| number::amount_errors(value, &path.child(name))));
    }
    for name in ["maxUnavailable", "maxSurge"] {
        errors.extend(field(name).and_then(|value| number::above_all(value, &path.child(name))));
    }
    let some = |name: &str| !number::is_none(rolling, name);
    match (some("maxUnavailable"), some("maxSurge")) {
        (true, true) => errors.push(path.child("maxSurge").invalid(
            field("maxSurge").cloned().unwrap_or_default(),
            "may not be set when maxUnavailable is non-zero",
        )),
        (false, false) => errors.push(
            path.child("maxUnavailable")
                .required("cannot be 0 when maxSurge is 0"),
        ),
        (true, false) | (false, true) => {}
    }
    errors
}

/// What is wrong with a write of a DaemonSet's status.
pub(crate) fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    const COUNTS: [&str; 9] = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = counts(status, &COUNTS, &Path::new("status"));
    errors.extend(workload::collisions(new, old));
    errors
}
