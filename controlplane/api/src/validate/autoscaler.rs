//! Rules for HorizontalPodAutoscalers, in the form of `autoscaling/v2`.

mod metrics;

use serde_json::Value;

use super::{number, resources};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;

const LONGEST_PERIOD: i64 = 1800;
const LONGEST_WINDOW: i64 = 3600;
const SELECTIONS: [&str; 3] = ["Disabled", "Max", "Min"];
const POLICIES: [&str; 2] = ["Percent", "Pods"];
const NOT_ABOVE_ZERO: &str = "must be greater than zero";

/// What is wrong with a new autoscaler.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    spec(object, 1)
}

/// What is wrong with an update; one that scaled to nothing before may go on.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let least = i64::from(read::integer(old, "spec.minReplicas") != Some(0));
    spec(new, least)
}

fn spec(object: &Value, least: i64) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let (min, max) = (
        read::integer(spec, "minReplicas"),
        read::count(spec, "maxReplicas"),
    );
    let mut errors = Vec::new();
    let rule = format!("must be greater than or equal to {least}");
    errors.extend(number::at_least(spec, "minReplicas", &path, least, &rule));
    if max < 1 {
        errors.push(path.child("maxReplicas").invalid(max, "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(path.child("maxReplicas").invalid(max, detail));
    }
    errors.extend(reference(spec, &path, "scaleTargetRef"));
    errors.extend(metrics::all(spec, &path.child("metrics")));
    for direction in ["scaleUp", "scaleDown"] {
        let rules = crate::resource::at(spec, "behavior").and_then(|behavior| behavior.get(direction));
        if let Some(rules) = rules.filter(|rules| !rules.is_null()) {
            errors.extend(scaling(rules, &path.child("behavior").child(direction)));
        }
    }
    errors
}

/// What is wrong with a reference to an object of any kind, the member `field`.
fn reference(object: &Value, path: &Path, field: &str) -> Vec<FieldError> {
    let path = path.child(field);
    let mut errors = Vec::new();
    for part in ["kind", "name"] {
        let value = read::text(object, &format!("{field}.{part}"));
        if value.is_empty() {
            errors.push(path.child(part).required(""));
        }
        let rules = names::path_segment(value).into_iter();
        errors.extend(rules.map(|rule| path.child(part).invalid(value, rule)));
    }
    errors
}

fn scaling(rules: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(window) = read::integer(rules, "stabilizationWindowSeconds") {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.push(path.invalid(window, "must be greater than or equal to zero"));
        }
        if window > LONGEST_WINDOW {
            let detail = format!("must be less than or equal to {LONGEST_WINDOW}");
            errors.push(path.invalid(window, detail));
        }
    }
    if let Some(selection) = rules.get("selectPolicy").and_then(Value::as_str)
        && !SELECTIONS.contains(&selection)
    {
        errors.push(path.child("selectPolicy").not_supported(selection, &SELECTIONS));
    }
    let policies = read::list(rules, "policies");
    let place = path.child("policies");
    if policies.is_empty() {
        errors.push(place.required("must specify at least one Policy"));
    }
    for (index, policy) in policies.iter().enumerate() {
        errors.extend(scaling_policy(policy, &place.index(index)));
    }
    if let Some(tolerance) = rules.get("tolerance").filter(|tolerance| !tolerance.is_null())
        && resources::quantity(tolerance).is_some_and(|tolerance| tolerance.is_negative())
    {
        errors.push(
            path.child("tolerance")
                .invalid(resources::shown(tolerance), number::NON_NEGATIVE),
        );
    }
    errors
}

fn scaling_policy(policy: &Value, path: &Path) -> Vec<FieldError> {
    let kind = read::text(policy, "type");
    let mut errors = Vec::new();
    if !POLICIES.contains(&kind) {
        errors.push(path.child("type").not_supported(kind, &POLICIES));
    }
    for field in ["value", "periodSeconds"] {
        let value = read::count(policy, field);
        if value <= 0 {
            errors.push(path.child(field).invalid(value, NOT_ABOVE_ZERO));
        }
    }
    let period = read::count(policy, "periodSeconds");
    if period > LONGEST_PERIOD {
        let detail = format!("must be less than or equal to {LONGEST_PERIOD}");
        errors.push(path.child("periodSeconds").invalid(period, detail));
    }
    errors
}

/// What is wrong with a write of an autoscaler's status.
pub(crate) fn status(new: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    super::workload::counts(status, &["currentReplicas", "desiredReplicas"], &path)
}
