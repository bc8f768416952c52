//! Rules for PodDisruptionBudgets.

use serde_json::Value;

use super::workload::{counts, label_selector_errors};
use super::{condition, inner_form, number};
use crate::field::{FieldError, Path};
use crate::read;

const EVICTION_POLICIES: [&str; 2] = ["AlwaysAllow", "IfHealthyBudget"];

/// What is wrong with a budget.
pub(crate) fn budget(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let given = |field: &str| read::present(spec, field);
    if given("minAvailable") && given("maxUnavailable") {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        let form = inner_form::shown(Some(spec), inner_form::BUDGET);
        errors.push(path.invalid(spec.clone(), detail).shown_as(form));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        errors.extend(number::share(spec, field, &path));
    }
    let selector = spec.get("selector").unwrap_or(&Value::Null);
    errors.extend(label_selector_errors(selector, &path.child("selector")));
    let policy = read::text(spec, "unhealthyPodEvictionPolicy");
    if given("unhealthyPodEvictionPolicy") && !EVICTION_POLICIES.contains(&policy) {
        errors.push(
            path.child("unhealthyPodEvictionPolicy")
                .not_supported(policy, &EVICTION_POLICIES),
        );
    }
    errors
}

/// What is wrong with a write of a budget's status.
pub(crate) fn status(new: &Value) -> Vec<FieldError> {
    const COUNTS: [&str; 4] = [
        "disruptionsAllowed",
        "currentHealthy",
        "desiredHealthy",
        "expectedPods",
    ];
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = condition::all(status, &path.child("conditions"));
    errors.extend(counts(status, &COUNTS, &path));
    errors
}
