//! Rules for what a pod asks for as a whole, and for its overhead.

use serde_json::{Value, json};

use crate::admit::pod_resources::{amounts, of_containers};
use crate::field::{FieldError, Path};
use crate::read;
use crate::validate::{resource_names, resources};

/// What is wrong with `resources` of a pod's spec.
pub(super) fn check(spec: &Value, path: &Path) -> Vec<FieldError> {
    let Some(own) = spec.get("resources").filter(|own| !own.is_null()) else {
        return Vec::new();
    };
    if read::text(spec, "os.name") == "windows" {
        return vec![path.forbidden("may not be set for a windows pod")];
    }
    let mut errors = Vec::new();
    if read::present(own, "claims") {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(path.child("claims").forbidden(detail));
    }
    errors.extend(resources::requirements_of(own, pod_level, path));
    errors.extend(consistency(spec, own, path));
    errors
}

/// What a pod can ask for as a whole.
fn pod_level(name: &str, path: &Path) -> Vec<FieldError> {
    let errors = resource_names::any(name, path);
    let known = matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    if known || !errors.is_empty() {
        return errors;
    }
    vec![path.not_supported(name, &["cpu", "hugepages-", "memory"])]
}

/// The containers together ask for no more, and none may use more, than the pod.
fn consistency(spec: &Value, own: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = covering(spec, own, path, "requests", |_| true);
    let huge = |name: &str| name.starts_with("hugepages-");
    errors.extend(covering(spec, own, path, "limits", huge));
    let limits = amounts(own, "limits");
    for (index, container) in read::list(spec, "containers").iter().enumerate() {
        for (name, limit) in amounts(container, "resources.limits") {
            if let Some(whole) = limits.get(&name).filter(|whole| limit > **whole) {
                let path = path.child("containers").index(index).key(&name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {whole}");
                errors.push(path.invalid(limit.to_string(), detail));
            }
        }
    }
    errors
}

/// What a pod states of `which` resources, and its containers exceed together.
fn covering(
    spec: &Value,
    own: &Value,
    path: &Path,
    which: &str,
    counts: impl Fn(&str) -> bool,
) -> Vec<FieldError> {
    let stated = amounts(own, which);
    let mut errors = Vec::new();
    for (name, together) in of_containers(&json!({"spec": spec}), which) {
        let Some(own) = stated.get(&name).filter(|own| counts(&name) && together > **own) else {
            continue;
        };
        let detail = format!("must be greater than or equal to aggregate container {which} of {together}");
        let path = path.child(which).key(&name);
        errors.push(path.invalid(own.to_string(), detail));
    }
    errors
}

/// What is wrong with `overhead`, whose amounts are checked as limits are.
pub(super) fn overhead(spec: &Value, path: &Path) -> Vec<FieldError> {
    let Some(overhead) = spec.get("overhead").filter(|overhead| !overhead.is_null()) else {
        return Vec::new();
    };
    resources::requirements(&json!({"limits": overhead}), &path.child("overhead"))
}
