//! What keys of labels whose values are the pod's own mean where pods are selected: conditions of the selectors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::meta;
use crate::read;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Adds the conditions to a new pod.
pub(super) fn narrow(pod: &mut Value) {
    let labels = meta::labels(pod);
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(rules) = pod.pointer_mut(&format!("/spec/affinity/{kind}")) else {
            continue;
        };
        let required = rules.get_mut(REQUIRED).and_then(Value::as_array_mut);
        required
            .into_iter()
            .flatten()
            .for_each(|term| narrow_term(term, &labels));
        let preferred = rules.get_mut(PREFERRED).and_then(Value::as_array_mut);
        let terms = preferred
            .into_iter()
            .flatten()
            .filter_map(|term| term.get_mut("podAffinityTerm"));
        terms.for_each(|term| narrow_term(term, &labels));
    }
    let spread = pod.pointer_mut("/spec/topologySpreadConstraints");
    let constraints = spread.and_then(Value::as_array_mut).into_iter().flatten();
    constraints.for_each(|constraint| narrow_term(constraint, &labels));
}

fn narrow_term(term: &mut Value, labels: &BTreeMap<String, String>) {
    if !read::present(term, "labelSelector") {
        return;
    }
    let mut conditions = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in read::texts(term, field) {
            if let Some(value) = labels.get(key) {
                conditions.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    if !conditions.is_empty() {
        let selector = meta::object_mut(meta::member_mut(term, "labelSelector"));
        let list = selector.entry("matchExpressions").or_insert_with(|| json!([]));
        list.as_array_mut()
            .into_iter()
            .for_each(|list| list.append(&mut conditions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_they_do_where_pods_are_spread() {
        let constraint = json!({"labelSelector": {}, "matchLabelKeys": ["version"], "topologyKey": "zone"});
        let mut pod = json!({
            "metadata": {"labels": {"version": "2"}},
            "spec": {"topologySpreadConstraints": [constraint, {"matchLabelKeys": ["version"]}]},
        });
        narrow(&mut pod);
        let found = &pod["spec"]["topologySpreadConstraints"];
        let wanted = json!([{"key": "version", "operator": "In", "values": ["2"]}]);
        assert_eq!(found[0]["labelSelector"]["matchExpressions"], wanted);
        assert_eq!(found[1].get("labelSelector"), None);
    }

    #[test]
    fn the_pods_own_values_become_conditions() {
        let term = json!({
            "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["version", "absent"],
            "mismatchLabelKeys": ["tenant"], "topologyKey": "zone",
        });
        let mut pod = json!({
            "metadata": {"labels": {"version": "2", "tenant": "a"}},
            "spec": {"affinity": {"podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}}},
        });
        narrow(&mut pod);
        let selector = format!("/spec/affinity/podAntiAffinity/{PREFERRED}/0/podAffinityTerm/labelSelector");
        let wanted = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "version", "operator": "In", "values": ["2"]},
                {"key": "tenant", "operator": "NotIn", "values": ["a"]},
            ],
        });
        assert_eq!(pod.pointer(&selector), Some(&wanted));
    }
}
