//! Rules for where a pod may run.

use serde_json::Value;

use super::label_map;
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{node, workload};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// What is wrong with node selector, tolerations, affinity, spread and gates of a pod's spec.
pub(super) fn all(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = label_map(spec, "nodeSelector", path);
    errors.extend(tolerations(spec, &path.child("tolerations")));
    if let Some(affinity) = spec.get("affinity").filter(|affinity| !affinity.is_null()) {
        let path = path.child("affinity");
        errors.extend(node_affinity(affinity, &path.child("nodeAffinity")));
        for kind in ["podAffinity", "podAntiAffinity"] {
            errors.extend(pod_affinity(affinity, kind, &path.child(kind)));
        }
    }
    errors.extend(spread(spec, &path.child("topologySpreadConstraints")));
    let mut seen: Vec<&str> = Vec::new();
    for (index, gate) in read::list(spec, "schedulingGates").iter().enumerate() {
        let path = path.child("schedulingGates").index(index);
        let name = read::text(gate, "name");
        errors.extend(
            names::qualified_name(name)
                .into_iter()
                .map(|rule| path.child("name").invalid(name, rule)),
        );
        if seen.contains(&name) {
            errors.push(path.child("name").duplicate(name));
        }
        seen.push(name);
    }
    errors
}

/// What is wrong with the tolerations of a pod's spec, or of what adds them to one.
pub(crate) fn tolerations(spec: &Value, path: &Path) -> Vec<FieldError> {
    let list = read::list(spec, "tolerations").iter().enumerate();
    list.flat_map(|(index, toleration)| one_toleration(toleration, &path.index(index)))
        .collect()
}

fn one_toleration(toleration: &Value, path: &Path) -> Vec<FieldError> {
    let text = |field: &str| read::text(toleration, field);
    let (key, operator, value, effect) = (text("key"), text("operator"), text("value"), text("effect"));
    let mut errors = Vec::new();
    if !key.is_empty() {
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|rule| path.child("key").invalid(key, rule)),
        );
    } else if operator != "Exists" {
        let detail =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(path.child("operator").invalid(operator, detail));
    }
    if read::present(toleration, "tolerationSeconds") && effect != "NoExecute" {
        errors.push(path.child("effect").invalid(
            effect,
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        ));
    }
    match operator {
        "" | "Equal" => {
            let rules = names::label_value(value).into_iter();
            errors.extend(rules.map(|rule| path.child("operator").invalid(value, rule)));
        }
        "Exists" if !value.is_empty() => {
            errors.push(path.child("operator").invalid(
                toleration.clone(),
                "value must be empty when `operator` is 'Exists'",
            ));
        }
        "Exists" => {}
        other => errors.push(path.child("operator").not_supported(other, &["Equal", "Exists"])),
    }
    if !effect.is_empty() {
        errors.extend(node::effect_error(effect, &path.child("effect")));
    }
    errors
}

/// What is wrong with a selector of nodes.
pub(crate) fn node_selector(selector: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("nodeSelectorTerms");
    let terms = read::list(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        return vec![path.required("must have at least one node selector term")];
    }
    let terms = terms.iter().enumerate();
    terms
        .flat_map(|(index, term)| node_term(term, &path.index(index)))
        .collect()
}

fn node_affinity(affinity: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(required) = at(affinity, "nodeAffinity").and_then(|node| node.get(REQUIRED)) {
        errors.extend(node_selector(required, &path.child(REQUIRED)));
    }
    let preferred = at(affinity, "nodeAffinity")
        .map(|node| read::list(node, PREFERRED))
        .unwrap_or_default();
    for (index, term) in preferred.iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        errors.extend(weight(term, &path));
        let preference = term.get("preference").unwrap_or(&Value::Null);
        errors.extend(node_term(preference, &path.child("preference")));
    }
    errors
}

fn weight(term: &Value, path: &Path) -> Option<FieldError> {
    let weight = read::count(term, "weight");
    (!(1..=100).contains(&weight)).then(|| path.child("weight").invalid(weight, "must be in the range 1-100"))
}

fn node_term(term: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, expression) in read::list(term, "matchExpressions").iter().enumerate() {
        errors.extend(node_expression(
            expression,
            &path.child("matchExpressions").index(index),
        ));
    }
    for (index, field) in read::list(term, "matchFields").iter().enumerate() {
        let path = path.child("matchFields").index(index);
        let key = read::text(field, "key");
        if key != "metadata.name" {
            errors.push(path.child("key").invalid(key, "not a valid field selector key"));
        }
    }
    errors
}

fn node_expression(expression: &Value, path: &Path) -> Vec<FieldError> {
    let count = read::list(expression, "values").len();
    let operator = read::text(expression, "operator");
    let values = path.child("values");
    let mut errors = Vec::new();
    match (operator, count) {
        ("In" | "NotIn", 0) => {
            errors.push(values.required("must be specified when `operator` is 'In' or 'NotIn'"));
        }
        ("Exists" | "DoesNotExist", 1..) => {
            errors
                .push(values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        ("Gt" | "Lt", count) if count != 1 => {
            errors.push(values.required("must be specified single value when `operator` is 'Lt' or 'Gt'"));
        }
        ("In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt", _) => {}
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
    errors
}

fn pod_affinity(affinity: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let Some(rules) = affinity.get(kind) else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    for (index, term) in read::list(rules, REQUIRED).iter().enumerate() {
        errors.extend(pod_term(term, &path.child(REQUIRED).index(index)));
    }
    for (index, term) in read::list(rules, PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        errors.extend(weight(term, &path));
        errors.extend(pod_term(
            term.get("podAffinityTerm").unwrap_or(&Value::Null),
            &path.child("podAffinityTerm"),
        ));
    }
    errors
}

fn pod_term(term: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["labelSelector", "namespaceSelector"] {
        if let Some(selector) = term.get(field) {
            errors.extend(workload::label_selector_errors(selector, &path.child(field)));
        }
    }
    match read::text(term, "topologyKey") {
        "" => errors.push(path.child("topologyKey").required("can not be empty")),
        key => {
            let path = path.child("topologyKey");
            errors.extend(
                names::qualified_name(key)
                    .into_iter()
                    .map(|rule| path.invalid(key, rule)),
            );
        }
    }
    errors
}

fn spread(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, constraint) in read::list(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = path.index(index);
        let skew = read::count(constraint, "maxSkew");
        if skew <= 0 {
            errors.push(path.child("maxSkew").invalid(skew, "must be greater than zero"));
        }
        if read::text(constraint, "topologyKey").is_empty() {
            errors.push(path.child("topologyKey").required("can not be empty"));
        }
        let action = read::text(constraint, "whenUnsatisfiable");
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            let known = ["DoNotSchedule", "ScheduleAnyway"];
            errors.push(path.child("whenUnsatisfiable").not_supported(action, &known));
        }
        if let Some(selector) = constraint.get("labelSelector") {
            errors.extend(workload::label_selector_errors(
                selector,
                &path.child("labelSelector"),
            ));
        }
    }
    errors
}
