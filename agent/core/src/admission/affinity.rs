//! `nodeSelector` and the required part of node affinity.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

use super::NodeFacts;

/// Whether the pod may be on `node`.
pub(super) fn matches(spec: &PodSpec, node: &NodeFacts<'_>) -> bool {
    let mut selector = spec.node_selector.iter().flatten();
    if !selector.all(|(key, value)| node.labels.get(key) == Some(value)) {
        return false;
    }
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| {
        affinity
            .required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    required.is_none_or(|required| {
        required
            .node_selector_terms
            .iter()
            .any(|term| one_matches(term, node))
    })
}

/// Terms are alternatives, a term's requirements are not; a term without any matches nothing.
fn one_matches(term: &NodeSelectorTerm, node: &NodeFacts<'_>) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = BTreeMap::from([("metadata.name".to_owned(), node.name.to_owned())]);
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|wish| holds(wish, node.labels))
        && fields.iter().all(|wish| holds(wish, &name))
}

fn holds(wish: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let found = labels.get(&wish.key);
    let values = wish.values.as_deref().unwrap_or_default();
    let listed = |value: &String| values.contains(value);
    match wish.operator.as_str() {
        "In" => found.is_some_and(listed),
        "NotIn" => !found.is_some_and(listed),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compare(found, values).is_some_and(|(ours, bound)| ours > bound),
        "Lt" => compare(found, values).is_some_and(|(ours, bound)| ours < bound),
        _ => false,
    }
}

fn compare(found: Option<&String>, values: &[String]) -> Option<(i64, i64)> {
    Some((found?.parse().ok()?, values.first()?.parse().ok()?))
}
