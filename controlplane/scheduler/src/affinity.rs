//! Whether a node is one a pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};

use crate::facts::{NodeFacts, PodFacts};

/// Whether `node` meets the pod's `nodeSelector` and its required node affinity.
pub(crate) fn required(pod: &PodFacts, node: &NodeFacts) -> bool {
    let selected = pod
        .node_selector
        .iter()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    let affinity = pod.node_affinity.as_ref().and_then(|affinity| {
        affinity
            .required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    selected
        && affinity.is_none_or(|selector| {
            selector
                .node_selector_terms
                .iter()
                .any(|term| matches(term, node))
        })
}

/// The weights of the preferences that `node` meets, summed.
pub(crate) fn preferred(pod: &PodFacts, node: &NodeFacts) -> i64 {
    let terms = pod.node_affinity.as_ref().and_then(|affinity| {
        affinity
            .preferred_during_scheduling_ignored_during_execution
            .as_ref()
    });
    terms
        .into_iter()
        .flatten()
        .filter(|term| matches(&term.preference, node))
        .map(|term| i64::from(term.weight))
        .sum()
}

/// An empty term matches no node.
fn matches(term: &NodeSelectorTerm, node: &NodeFacts) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let names = BTreeMap::from([("metadata.name".to_owned(), node.name.clone())]);
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|rule| meets(rule, &node.labels))
        && fields.iter().all(|rule| meets(rule, &names))
}

fn meets(rule: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let found = labels.get(&rule.key);
    let values = rule.values.as_deref().unwrap_or_default();
    match rule.operator.as_str() {
        "In" => found.is_some_and(|value| values.contains(value)),
        "NotIn" => found.is_none_or(|value| !values.contains(value)),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => numbers(found, values).is_some_and(|(label, bound)| label > bound),
        "Lt" => numbers(found, values).is_some_and(|(label, bound)| label < bound),
        _ => false,
    }
}

fn numbers(label: Option<&String>, values: &[String]) -> Option<(i64, i64)> {
    Some((label?.parse().ok()?, values.first()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(key: &str, operator: &str, values: &[&str]) -> NodeSelectorRequirement {
        NodeSelectorRequirement {
            key: key.into(),
            operator: operator.into(),
            values: Some(values.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn operators_follow_the_documented_table() {
        let labels = BTreeMap::from([
            ("zone".to_owned(), "a".to_owned()),
            ("cores".to_owned(), "8".to_owned()),
        ]);
        let table = [
            (rule("zone", "In", &["a", "b"]), true),
            (rule("zone", "NotIn", &["a"]), false),
            (rule("missing", "NotIn", &["a"]), true),
            (rule("zone", "Exists", &[]), true),
            (rule("missing", "DoesNotExist", &[]), true),
            (rule("cores", "Gt", &["4"]), true),
            (rule("cores", "Lt", &["4"]), false),
            (rule("zone", "Gt", &["4"]), false),
        ];
        for (rule, expected) in table {
            assert_eq!(meets(&rule, &labels), expected, "{rule:?}");
        }
    }

    #[test]
    fn an_empty_term_matches_no_node() {
        assert!(!matches(&NodeSelectorTerm::default(), &NodeFacts::default()));
    }
}
