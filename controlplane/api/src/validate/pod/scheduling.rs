//! Rules for where a pod may run.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{naming, node, workload};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// What is wrong with the affinity of a pod's spec.
pub(super) fn affinity(spec: &Value, path: &Path) -> Vec<FieldError> {
    let Some(affinity) = spec.get("affinity").filter(|affinity| !affinity.is_null()) else {
        return Vec::new();
    };
    let path = path.child("affinity");
    let mut errors = node_affinity(affinity, &path.child("nodeAffinity"));
    for kind in ["podAffinity", "podAntiAffinity"] {
        errors.extend(pod_affinity(affinity, kind, &path.child(kind)));
    }
    errors
}

/// What is wrong with the gates before scheduling. Upstream's paths leave the member out.
pub(super) fn gates(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, gate) in read::list(spec, "schedulingGates").iter().enumerate() {
        let path = path.index(index);
        let name = read::text(gate, "name");
        errors.extend(naming::broken(names::qualified_name, name, &path));
        if seen.contains(&name) {
            errors.push(path.duplicate(name));
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
            let rules = names::label_value(value);
            if !rules.is_empty() {
                errors.push(path.child("operator").invalid(value, rules.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(path.child("operator").invalid(value, detail));
        }
        "Exists" => {}
        other => {
            let known: &[&str] = match other {
                "Lt" | "Gt" => &["Equal", "Exists", "Lt", "Gt"],
                _ => &["Equal", "Exists"],
            };
            errors.push(path.child("operator").not_supported(other, known));
        }
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
        .flat_map(|(index, term)| node_term(term, true, &path.index(index)))
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
        errors.extend(node_term(preference, false, &path.child("preference")));
    }
    errors
}

fn weight(term: &Value, path: &Path) -> Option<FieldError> {
    let weight = read::count(term, "weight");
    (!(1..=100).contains(&weight)).then(|| path.child("weight").invalid(weight, "must be in the range 1-100"))
}

fn node_term(term: &Value, strict: bool, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, expression) in read::list(term, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        errors.extend(node_expression(expression, &path));
        if strict {
            for (index, value) in read::texts(expression, "values").into_iter().enumerate() {
                errors.extend(naming::broken(
                    names::label_value,
                    value,
                    &path.child("values").index(index),
                ));
            }
        }
    }
    for (index, field) in read::list(term, "matchFields").iter().enumerate() {
        let path = path.child("matchFields").index(index);
        errors.extend(node_field(field, &path));
    }
    errors
}

/// The only field of a node that can be asked for is its name.
fn node_field(field: &Value, path: &Path) -> Vec<FieldError> {
    let values = read::texts(field, "values");
    let mut errors = Vec::new();
    match read::text(field, "operator") {
        "In" | "NotIn" if values.len() != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(path.child("values").required(detail));
        }
        "In" | "NotIn" => {}
        other => errors.push(
            path.child("operator")
                .invalid(other, "not a valid selector operator"),
        ),
    }
    match read::text(field, "key") {
        "metadata.name" => {
            for (index, value) in values.into_iter().enumerate() {
                errors.extend(naming::broken(
                    names::dns_subdomain,
                    value,
                    &path.child("values").index(index),
                ));
            }
        }
        key => errors.push(path.child("key").invalid(key, "not a valid field selector key")),
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
    for name in read::texts(term, "namespaces") {
        errors.extend(naming::broken(names::dns_label, name, &path.child("namespace")));
    }
    errors.extend(label_keys(term, path));
    let key = read::text(term, "topologyKey");
    let path = path.child("topologyKey");
    if key.is_empty() {
        errors.push(path.required("can not be empty"));
    }
    errors.extend(naming::broken(names::qualified_name, key, &path));
    errors
}

/// Keys of which the pod's own values are to be selected, and other values too: by the time at which upstream looks, each
/// of them has become one condition. The path leaves the member out, as upstream's does.
fn selected_twice(term: &Value, path: &Path) -> Vec<FieldError> {
    let keys = read::texts(term, "matchLabelKeys");
    let selector = term.get("labelSelector").unwrap_or(&Value::Null);
    let mut seen: Vec<&str> = read::map(selector, "matchLabels")
        .map(|(key, _)| key.as_str())
        .collect();
    let mut errors = Vec::new();
    for expression in read::list(selector, "matchExpressions") {
        let key = read::text(expression, "key");
        let at = keys.iter().rposition(|wanted| *wanted == key);
        if let Some(index) = at.filter(|_| seen.contains(&key)) {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(path.index(index).invalid(key, detail));
        }
        seen.push(key);
    }
    errors
}

/// What is wrong with keys whose values are the pod's own.
fn label_keys(term: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let selects = read::present(term, "labelSelector");
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let path = path.child(field);
        let keys = read::texts(term, field);
        if !keys.is_empty() && !selects {
            errors.push(path.forbidden("must not be specified when labelSelector is not set"));
            continue;
        }
        for (index, key) in keys.into_iter().enumerate() {
            errors.extend(naming::broken(names::qualified_name, key, &path.index(index)));
        }
    }
    errors.extend(selected_twice(term, path));
    let other = read::texts(term, "mismatchLabelKeys");
    for (index, key) in read::texts(term, "matchLabelKeys").into_iter().enumerate() {
        if other.contains(&key) {
            let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(path.child("matchLabelKeys").index(index).invalid(key, detail));
        }
    }
    errors
}

/// What is wrong with how pods are spread.
pub(super) fn spread(spec: &Value, path: &Path) -> Vec<FieldError> {
    let all = read::list(spec, "topologySpreadConstraints");
    let mut errors = Vec::new();
    for (index, constraint) in all.iter().enumerate() {
        let rest = all.get(index + 1..).unwrap_or_default();
        errors.extend(one_spread(constraint, rest, &path.index(index)));
    }
    errors
}

const NOT_POSITIVE: &str = "must be greater than zero";

fn one_spread(constraint: &Value, rest: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (skew, domains) = (
        read::count(constraint, "maxSkew"),
        read::integer(constraint, "minDomains"),
    );
    let kind = |constraint: &Value| -> (String, String) {
        let text = |field: &str| read::text(constraint, field).to_owned();
        (text("topologyKey"), text("whenUnsatisfiable"))
    };
    let (key, action) = kind(constraint);
    if skew <= 0 {
        errors.push(path.child("maxSkew").invalid(skew, NOT_POSITIVE));
    }
    if key.is_empty() {
        errors.push(path.child("topologyKey").required("can not be empty"));
    }
    let actions = ["DoNotSchedule", "ScheduleAnyway"];
    if !actions.contains(&action.as_str()) {
        errors.push(
            path.child("whenUnsatisfiable")
                .not_supported(action.as_str(), &actions),
        );
    }
    if rest
        .iter()
        .any(|other| kind(other) == (key.clone(), action.clone()))
    {
        let path = path.child("{topologyKey, whenUnsatisfiable}");
        errors.push(path.duplicate(format!("{{{key}, {action}}}")));
    }
    if let Some(domains) = domains.filter(|domains| *domains <= 0) {
        errors.push(path.child("minDomains").invalid(domains, NOT_POSITIVE));
    }
    if let Some(domains) = domains.filter(|_| action != "DoNotSchedule") {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(path.child("minDomains").invalid(domains, detail));
    }
    for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        errors.extend(naming::choice(constraint, field, &["Honor", "Ignore"], path));
    }
    errors.extend(label_keys(constraint, path));
    if let Some(selector) = constraint.get("labelSelector") {
        errors.extend(workload::label_selector_errors(
            selector,
            &path.child("labelSelector"),
        ));
    }
    errors
}
