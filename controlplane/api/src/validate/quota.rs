//! Rules for ResourceQuotas.

use serde_json::Value;

use super::inner_form::of_core::SCOPE_SELECTOR;
use super::{inner_form, metadata, resource_names, resources};
use crate::field::{FieldError, Path};
use crate::read;

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Scopes that no pod can be in both of.
const CONFLICTING: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const ONLY_EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
    ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
    ResourceQuotaScopeCrossNamespacePodAffinity";

/// What is wrong with a quota.
pub(crate) fn quota(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors = resources::named_amounts(spec, "hard", resource_names::of_quota, &path);
    errors.extend(scopes(spec, &path.child("scopes")));
    errors.extend(selector(spec, &path.child("scopeSelector.matchExpressions")));
    errors
}

/// What is wrong with an update: the scopes stay.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = quota(new);
    let sorted = |object| {
        let mut scopes = read::texts(object, "spec.scopes");
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    };
    if sorted(new) != sorted(old) {
        let given = read::texts(new, "spec.scopes");
        errors.push(Path::new("spec.scopes").invalid(given, metadata::IMMUTABLE));
    }
    errors
}

/// What is wrong with a write of a quota's status.
pub(crate) fn status(new: &Value) -> Vec<FieldError> {
    let status = new.get("status").unwrap_or(&Value::Null);
    let fields = ["hard", "used"].into_iter();
    fields
        .flat_map(|field| {
            resources::named_amounts(status, field, resource_names::of_quota, &Path::new("status"))
        })
        .collect()
}

fn scopes(spec: &Value, path: &Path) -> Vec<FieldError> {
    let given = read::texts(spec, "scopes");
    let mut errors = Vec::new();
    for scope in &given {
        if !SCOPES.contains(scope) {
            errors.push(path.invalid(given.clone(), "unsupported scope"));
        }
        let unfit =
            unfit(spec, scope).map(|()| path.invalid(given.clone(), "unsupported scope applied to resource"));
        errors.extend(unfit);
    }
    if conflict(&given) {
        errors.push(path.invalid(given, "conflicting scopes"));
    }
    errors
}

fn conflict(scopes: &[&str]) -> bool {
    CONFLICTING
        .iter()
        .any(|pair| pair.iter().all(|scope| scopes.contains(scope)))
}

/// One item for each limited resource that cannot be limited within the scope.
fn unfit<'a>(spec: &'a Value, scope: &'a str) -> impl Iterator<Item = ()> + 'a {
    read::map(spec, "hard")
        .filter(move |(name, _)| resource_names::is_of_quota(name) && !applies(scope, name))
        .map(|_| ())
}

/// Whether the amount of a resource within a scope means anything.
fn applies(scope: &str, resource: &str) -> bool {
    const COMPUTED: [&str; 10] = [
        "cpu",
        "memory",
        "ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "pods",
    ];
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => COMPUTED.contains(&resource),
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn selector(spec: &Value, path: &Path) -> Vec<FieldError> {
    let expressions = read::list(spec, "scopeSelector.matchExpressions");
    let mut errors = Vec::new();
    for expression in expressions {
        let scope = read::text(expression, "scopeName");
        if !SCOPES.contains(&scope) {
            errors.push(path.child("scopeName").invalid(scope, "unsupported scope"));
        }
        let whole = spec.get("scopeSelector").cloned().unwrap_or_default();
        errors.extend(unfit(spec, scope).map(|()| {
            let error = path.invalid(whole.clone(), "unsupported scope applied to resource");
            inner_form::formed(error, SCOPE_SELECTOR)
        }));
        errors.extend(operator(expression, scope, path));
    }
    let scopes: Vec<&str> = expressions
        .iter()
        .map(|expression| read::text(expression, "scopeName"))
        .collect();
    if conflict(&scopes) {
        let given = spec.get("scopes").cloned().unwrap_or_default();
        errors.push(path.invalid(given, "conflicting scopes"));
    }
    errors
}

fn operator(expression: &Value, scope: &str, path: &Path) -> Vec<FieldError> {
    let (operator, values) = (
        read::text(expression, "operator"),
        read::texts(expression, "values"),
    );
    let mut errors = Vec::new();
    let plain = !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&scope);
    if plain && operator != "Exists" {
        errors.push(path.child("operator").invalid(operator, ONLY_EXISTS));
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => errors
            .push(path.child("values").required(
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            )),
        "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(path.child("values").invalid(
            values,
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        )),
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(
            path.child("operator")
                .invalid(other, "not a valid selector operator"),
        ),
    }
    errors
}
