//! When a job has succeeded, when it has failed, and when a pod is replaced.

use serde_json::Value;

use super::{indexes, valid_values};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{inner_form, number};

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const REPLACED: [&str; 2] = ["Failed", "TerminatingOrFailed"];
const MOST_RULES: usize = 20;
const MOST_CODES: usize = 255;
const MOST_CONDITIONS: usize = 20;
const LONGEST_INDEXES: usize = 64 * 1024;

/// What is wrong with the policies of a job's spec.
pub(super) fn all(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(policy) = spec.get("podFailurePolicy").filter(|policy| !policy.is_null()) {
        errors.extend(failure(spec, policy, &path.child("podFailurePolicy.rules")));
    }
    if let Some(policy) = spec.get("successPolicy").filter(|policy| !policy.is_null()) {
        let path = path.child("successPolicy");
        if read::text(spec, "completionMode") == "Indexed" {
            errors.extend(success(spec, policy, &path.child("rules")));
        } else {
            let form = inner_form::shown(Some(policy), inner_form::SUCCESS_POLICY);
            let error = path.invalid(policy.clone(), "requires indexed completion mode");
            errors.push(error.shown_as(form));
        }
    }
    errors.extend(replacement(spec, &path.child("podReplacementPolicy")));
    errors
}

fn replacement(spec: &Value, path: &Path) -> Option<FieldError> {
    let policy = spec.get("podReplacementPolicy").and_then(Value::as_str)?;
    let known: &[&str] = if read::present(spec, "podFailurePolicy") {
        &["Failed"]
    } else {
        &REPLACED
    };
    (!known.contains(&policy)).then(|| path.not_supported(policy, known))
}

fn failure(spec: &Value, policy: &Value, path: &Path) -> Vec<FieldError> {
    let rules = read::list(policy, "rules");
    let mut errors = Vec::new();
    if rules.len() > MOST_RULES {
        errors.push(path.too_many(rules.len(), MOST_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        errors.extend(failure_rule(spec, rule, &path.index(index)));
    }
    errors
}

fn failure_rule(spec: &Value, rule: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = action(spec, rule, &path.child("action")).into_iter().collect();
    let codes = rule.get("onExitCodes").filter(|codes| !codes.is_null());
    let conditions = read::list(rule, "onPodConditions");
    if let Some(codes) = codes {
        errors.extend(exit_codes(spec, codes, &path.child("onExitCodes")));
    }
    errors.extend(pod_conditions(conditions, &path.child("onPodConditions")));
    let detail = match (codes.is_some(), conditions.is_empty()) {
        (true, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (false, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        (true, true) | (false, false) => return errors,
    };
    errors.push(path.broken(detail));
    errors
}

fn action(spec: &Value, rule: &Value, path: &Path) -> Option<FieldError> {
    match read::text(rule, "action") {
        "" => Some(path.required(valid_values(&ACTIONS))),
        action @ "FailIndex" if !read::present(spec, "backoffLimitPerIndex") => {
            Some(path.invalid(action, "requires the backoffLimitPerIndex to be set"))
        }
        action if ACTIONS.contains(&action) => None,
        action => Some(path.not_supported(action, &ACTIONS)),
    }
}

fn pod_conditions(conditions: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if conditions.len() > MOST_CONDITIONS {
        errors.push(path.too_many(conditions.len(), MOST_CONDITIONS));
    }
    for (index, pattern) in conditions.iter().enumerate() {
        let path = path.index(index);
        let kind = read::text(pattern, "type");
        let rules = names::qualified_name(kind).into_iter();
        errors.extend(rules.map(|rule| path.child("type").invalid(kind, rule)));
        match read::text(pattern, "status") {
            "" => errors.push(path.child("status").required(valid_values(&STATUSES))),
            status if STATUSES.contains(&status) => {}
            status => errors.push(path.child("status").not_supported(status, &STATUSES)),
        }
    }
    errors
}

fn exit_codes(spec: &Value, wanted: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let operator = read::text(wanted, "operator");
    match operator {
        "" => errors.push(path.child("operator").required(valid_values(&OPERATORS))),
        operator if OPERATORS.contains(&operator) => {}
        operator => errors.push(path.child("operator").not_supported(operator, &OPERATORS)),
    }
    if let Some(name) = wanted.get("containerName").and_then(Value::as_str) {
        let known = ["containers", "initContainers"]
            .iter()
            .flat_map(|list| read::list(spec, &format!("template.spec.{list}")))
            .any(|container| read::text(container, "name") == name);
        if !known {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.push(path.child("containerName").invalid(name, detail));
        }
    }
    errors.extend(codes(wanted, operator, &path.child("values")));
    errors
}

fn codes(wanted: &Value, operator: &str, path: &Path) -> Vec<FieldError> {
    let codes: Vec<i64> = read::list(wanted, "values")
        .iter()
        .filter_map(Value::as_i64)
        .collect();
    let mut errors = Vec::new();
    if codes.is_empty() {
        errors.push(path.invalid(codes.clone(), "at least one value is required"));
    } else if codes.len() > MOST_CODES {
        errors.push(path.too_many(codes.len(), MOST_CODES));
    }
    for (index, code) in codes.iter().enumerate() {
        if operator == "In" && *code == 0 {
            errors.push(
                path.index(index)
                    .invalid(*code, "must not be 0 for the In operator"),
            );
        }
        if codes.iter().take(index).any(|before| before == code) {
            errors.push(path.index(index).duplicate(*code));
        }
    }
    if !codes.is_sorted() {
        errors.push(path.invalid(codes, "must be ordered"));
    }
    errors
}

fn success(spec: &Value, policy: &Value, path: &Path) -> Vec<FieldError> {
    let rules = read::list(policy, "rules");
    let mut errors = Vec::new();
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(path.required(detail));
    }
    if rules.len() > MOST_RULES {
        errors.push(path.too_many(rules.len(), MOST_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        errors.extend(success_rule(spec, rule, &path.index(index)));
    }
    errors
}

fn success_rule(spec: &Value, rule: &Value, path: &Path) -> Vec<FieldError> {
    let completions = read::count(spec, "completions");
    let indexes = rule.get("succeededIndexes").and_then(Value::as_str);
    let wanted = read::integer(rule, "succeededCount");
    let mut errors = Vec::new();
    if indexes.is_none() && wanted.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(path.required(detail));
    }
    let mut named = None;
    if let Some(indexes) = indexes {
        let path = path.child("succeededIndexes");
        if indexes.len() > LONGEST_INDEXES {
            errors.push(path.too_long(LONGEST_INDEXES));
        }
        let counted = indexes::count(indexes, completions);
        named = Some(*counted.as_ref().unwrap_or(&0));
        if let Err(why) = counted {
            errors.push(path.invalid(indexes, format!("error parsing succeededIndexes: {why}")));
        }
    }
    errors.extend(number::non_negative(rule, "succeededCount", path));
    let bounds = [
        (Some(completions), "specified completions"),
        (named, "indexes in the specified succeededIndexes field"),
    ];
    for (most, what) in bounds {
        if let (Some(wanted), Some(most)) = (wanted, most)
            && wanted > most
        {
            let detail = format!("must be less than or equal to {most} (the number of {what})");
            errors.push(path.child("succeededCount").invalid(wanted, detail));
        }
    }
    errors
}
