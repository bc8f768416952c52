//! Rules for PodDisruptionBudgets.

use serde_json::Value;

use super::workload::{self, counts};
use super::{condition, inner_form, number};
use crate::field::{FieldError, Path};
use crate::read;
use crate::resource::at;

const EVICTION_POLICIES: [&str; 2] = ["AlwaysAllow", "IfHealthyBudget"];

/// What is wrong with a budget; values in its selector may stay as `old` has them.
pub(crate) fn budget(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
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
    let values = workload::values_after(old.and_then(|old| at(old, "spec.selector")));
    errors.extend(workload::selector_errors(
        selector,
        values,
        &path.child("selector"),
    ));
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
