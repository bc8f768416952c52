//! What upstream's admission plugin `PodSecurity` does: pods keep to the level that their namespace's labels enforce, and
//! who writes what makes pods is warned.

use std::collections::BTreeMap;

use controlplane_api::admit::pod_security::{self as levels, Level, Policy, Standard};
use controlplane_api::{ApiError, meta};
use serde_json::Value;

use super::{forbidden, lookup};
use crate::call::Call;

/// A namespace without a label of this beginning asks for nothing, and is not parsed.
const MARK: &str = "pod-security.kubernetes.io/";
/// How many pods of a namespace are looked at when its level changes.
const MOST_PODS: usize = 3000;

fn policy(call: &Call) -> Result<Option<Policy>, ApiError> {
    let namespace = lookup::named_if(call, "namespaces", call.namespace(), MARK)?;
    Ok(namespace.as_ref().map(Policy::of))
}

fn warning(standard: Standard, pod: &Value) -> Vec<String> {
    let found = levels::violations(standard, pod);
    let words = found.map(|found| format!("would violate PodSecurity \"{standard}\": {}", found.details));
    words.into_iter().collect()
}

/// Checks a pod, and answers with warnings.
///
/// # Errors
///
/// 403 with everything that its namespace does not allow.
pub(super) fn check_pod(call: &Call, pod: &Value) -> Result<Vec<String>, ApiError> {
    let Some(policy) = policy(call)? else {
        return Ok(Vec::new());
    };
    if let Some(found) = levels::violations(policy.enforce, pod) {
        let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, found.details);
        return Err(forbidden(call, pod, &why));
    }
    Ok(warning(policy.warn, pod))
}

/// Checks a changed pod where it has other images or containers.
///
/// # Errors
///
/// As [`check_pod`].
pub(super) fn check_changed_pod(call: &Call, pod: &Value, old: &Value) -> Result<Vec<String>, ApiError> {
    if levels::matters(pod, old) {
        check_pod(call, pod)
    } else {
        Ok(Vec::new())
    }
}

/// What is to be said of an object that makes pods.
///
/// # Errors
///
/// Only for what would be a bug.
pub(super) fn warn(call: &Call, object: &Value) -> Result<Vec<String>, ApiError> {
    let Some(pod) = levels::template(&call.resource.kind, object) else {
        return Ok(Vec::new());
    };
    let policy = policy(call)?;
    Ok(policy.map(|policy| warning(policy.warn, pod)).unwrap_or_default())
}

/// Checks the labels of a namespace, new or changed, and answers with the pods in it that a stricter level would refuse.
///
/// # Errors
///
/// 422 for new labels that cannot be read.
pub(super) fn check_namespace(
    call: &Call,
    namespace: &Value,
    old: Option<&Value>,
) -> Result<Vec<String>, ApiError> {
    let policy = Policy::of(namespace);
    let before = old.map(Policy::of);
    let known = before
        .as_ref()
        .is_some_and(|before| before.errors == policy.errors);
    if !policy.errors.is_empty() && !known {
        return Err(ApiError::invalid(
            "",
            "Namespace",
            meta::name(namespace),
            policy.errors,
        ));
    }
    let Some(before) = before else {
        return Ok(Vec::new());
    };
    let (new, old) = (policy.enforce, before.enforce);
    let relaxed = new.version == old.version && new.level <= old.level;
    if new.level == Level::Privileged || relaxed {
        return Ok(Vec::new());
    }
    violators(call, meta::name(namespace), new)
}

fn violators(call: &Call, namespace: &str, standard: Standard) -> Result<Vec<String>, ApiError> {
    let (pods, total) = lookup::first(call, &format!("pods/{namespace}"), MOST_PODS)?;
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in &pods {
        if let Some(found) = levels::violations(standard, pod) {
            by_reason
                .entry(found.reasons)
                .or_default()
                .push(meta::name(pod).to_owned());
        }
    }
    let mut warnings = Vec::new();
    if pods.len() < total {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {} of {total} existing pods",
            pods.len()
        ));
    }
    if !by_reason.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut each: Vec<String> = by_reason
        .into_iter()
        .map(|(reasons, names)| of_pods(&names, &reasons))
        .collect();
    each.sort_unstable();
    warnings.extend(each);
    Ok(warnings)
}

fn of_pods(names: &[String], reasons: &str) -> String {
    let first = names.iter().min().map(String::as_str).unwrap_or_default();
    match names.len() {
        1 => format!("{first}: {reasons}"),
        2 => format!("{first} (and 1 other pod): {reasons}"),
        count => format!("{first} (and {} other pods): {reasons}", count - 1),
    }
}
