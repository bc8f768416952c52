//! Rules for ValidatingWebhookConfigurations and MutatingWebhookConfigurations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION_POLICIES, client, keeps_conditions, match_conditions,
    rules, selector_values, selectors, variables,
};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::naming;
use crate::validate::workload::LabelValues;

const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const HARMLESS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];

/// What may stay in an object that was stored under older rules.
#[derive(Debug, Clone, Copy)]
struct Strictness {
    no_side_effects: bool,
    known_version: bool,
    unique_names: bool,
    /// Values of labels in selectors.
    labels: LabelValues,
    /// Conditions on requests changed, so they are looked at.
    conditions: bool,
}

/// What is wrong with a configuration of webhooks; what `old` has against today's rules may stay.
pub(crate) fn configuration(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let strict = strictness(object, old);
    let environment = variables::with_authorizer(variables::request());
    let root = Path::new("webhooks");
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, hook) in read::list(object, "webhooks").iter().enumerate() {
        let (path, name) = (root.index(index), read::text(hook, "name"));
        errors.extend(webhook(hook, strict, &path));
        if strict.conditions {
            errors.extend(match_conditions(hook, &environment, &path));
        }
        errors.extend(versions(hook, strict, &path.child("admissionReviewVersions")));
        if strict.unique_names && !name.is_empty() && !seen.insert(name) {
            errors.push(path.child("name").duplicate(name));
        }
    }
    errors
}

fn strictness(object: &Value, old: Option<&Value>) -> Strictness {
    let hooks = old.map(|old| read::list(old, "webhooks")).unwrap_or_default();
    let new = read::list(object, "webhooks");
    let kept = new.len() == hooks.len() && new.iter().zip(hooks).all(|(new, old)| keeps_conditions(new, old));
    let names: BTreeSet<&str> = hooks.iter().map(|hook| read::text(hook, "name")).collect();
    let known = |hook: &Value| {
        let versions = read::texts(hook, "admissionReviewVersions");
        versions.is_empty() || versions.iter().any(|version| VERSIONS.contains(version))
    };
    Strictness {
        no_side_effects: hooks
            .iter()
            .all(|hook| HARMLESS.contains(&read::text(hook, "sideEffects"))),
        known_version: hooks.iter().all(known),
        unique_names: names.len() == hooks.len(),
        labels: hooks.iter().flat_map(selector_values).max().unwrap_or_default(),
        conditions: old.is_none() || !kept,
    }
}

fn webhook(hook: &Value, strict: Strictness, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = full_name(read::text(hook, "name"), &path.child("name"))
        .into_iter()
        .collect();
    for (index, rule) in read::list(hook, "rules").iter().enumerate() {
        errors.extend(rules::rule(rule, &path.child("rules").index(index)));
    }
    errors.extend(naming::choice(hook, "failurePolicy", &FAILURE_POLICIES, path));
    errors.extend(naming::choice(hook, "matchPolicy", &MATCH_POLICIES, path));
    let allowed: &[&str] = if strict.no_side_effects {
        &HARMLESS
    } else {
        &SIDE_EFFECTS
    };
    if read::present(hook, "sideEffects") {
        errors.extend(naming::choice(hook, "sideEffects", allowed, path));
    } else {
        let detail = format!("must specify one of {}", allowed.join(", "));
        errors.push(path.child("sideEffects").required(detail));
    }
    if let Some(seconds) = read::integer(hook, "timeoutSeconds").filter(|seconds| !(1..=30).contains(seconds))
    {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(path.child("timeoutSeconds").invalid(seconds, detail));
    }
    errors.extend(selectors(hook, strict.labels, path));
    errors.extend(naming::choice(
        hook,
        "reinvocationPolicy",
        &REINVOCATION_POLICIES,
        path,
    ));
    errors.extend(client::config(hook, path));
    errors
}

/// A webhook's name is one that its domain's owner gave.
fn full_name(name: &str, path: &Path) -> Option<FieldError> {
    if name.is_empty() {
        return Some(path.required(""));
    }
    let rules = names::dns_subdomain(name);
    if !rules.is_empty() {
        return Some(path.invalid(name, rules.join(",")));
    }
    let detail = "should be a domain with at least three segments separated by dots";
    (name.split('.').count() < 3).then(|| path.invalid(name, detail))
}

fn versions(hook: &Value, strict: Strictness, path: &Path) -> Vec<FieldError> {
    let versions = read::texts(hook, "admissionReviewVersions");
    let known = VERSIONS.join(", ");
    if versions.is_empty() {
        return vec![path.required(format!("must specify one of {known}"))];
    }
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().enumerate() {
        let path = path.index(index);
        if !seen.insert(*version) {
            errors.push(path.invalid(*version, "duplicate version"));
            continue;
        }
        errors.extend(naming::broken(names::dns_1035_label, version, &path));
    }
    if strict.known_version && !versions.iter().any(|version| VERSIONS.contains(version)) {
        errors.push(path.invalid(versions, format!("must include at least one of {known}")));
    }
    errors
}
