//! What pods see of one another: labels, and whom they want near or far.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::{Selector, SelectorExt};

/// Labels of namespaces by name.
pub(crate) type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// A pod as other pods see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Peer {
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// UID of the controller that owns it.
    pub(crate) controller: Option<String>,
    /// It is being deleted.
    pub(crate) leaving: bool,
    pub(crate) wishes: Wishes,
}

/// Whom a pod wants near or far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wishes {
    /// Required affinity.
    pub(crate) together: Vec<Term>,
    /// Required anti-affinity.
    pub(crate) apart: Vec<Term>,
    /// Preferred affinity with its weights; anti-affinity has negative ones.
    pub(crate) preferred: Vec<(i64, Term)>,
}

impl Wishes {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.together.is_empty() && self.apart.is_empty() && self.preferred.is_empty()
    }
}

/// Certain pods, and the label of nodes that tells what is near.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Term {
    /// Absent where it selects nothing.
    selector: Option<Selector>,
    namespaces: Vec<String>,
    /// Further namespaces by their labels.
    namespace_selector: Option<Selector>,
    pub(crate) key: String,
}

impl Term {
    fn read(term: &PodAffinityTerm, namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let own = [
            (&term.match_label_keys, "In"),
            (&term.mismatch_label_keys, "NotIn"),
        ];
        let selector = term.label_selector.clone().map(|selector| {
            own.into_iter().fold(selector, |selector, (keys, operator)| {
                with_own_values(selector, keys.as_deref().unwrap_or_default(), operator, labels)
            })
        });
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(namespace.to_owned());
        }
        Self {
            selector: selector.and_then(|selector| Selector::try_from(selector).ok()),
            namespaces,
            namespace_selector: term
                .namespace_selector
                .clone()
                .and_then(|selector| Selector::try_from(selector).ok()),
            key: term.topology_key.clone(),
        }
    }

    /// Whether `other` is one of these pods.
    pub(crate) fn matches(&self, other: &Peer, namespaces: &Namespaces) -> bool {
        let none = BTreeMap::new();
        let by_label = || {
            let labels = namespaces.get(&other.namespace).unwrap_or(&none);
            self.namespace_selector
                .as_ref()
                .is_some_and(|selector| selector.matches(labels))
        };
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.matches(&other.labels))
            && (self.namespaces.contains(&other.namespace) || by_label())
    }
}

/// Narrows a selector to the values that the pod itself has under `keys`.
pub(crate) fn with_own_values(
    mut selector: LabelSelector,
    keys: &[String],
    operator: &str,
    labels: &BTreeMap<String, String>,
) -> LabelSelector {
    let own = keys.iter().filter_map(|key| Some((key, labels.get(key)?)));
    let rules = own.map(|(key, value)| LabelSelectorRequirement {
        key: key.clone(),
        operator: operator.to_owned(),
        values: Some(vec![value.clone()]),
    });
    selector.match_expressions.get_or_insert_default().extend(rules);
    selector
}

impl Peer {
    /// Reads a pod.
    pub(crate) fn read(pod: &Pod) -> Self {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let owners = pod.metadata.owner_references.iter().flatten();
        let controller = owners.clone().find(|owner| owner.controller == Some(true));
        let controller = controller.map(|owner| owner.uid.clone());
        Self {
            wishes: wishes(pod, &namespace, &labels),
            controller,
            leaving: pod.metadata.deletion_timestamp.is_some(),
            namespace,
            labels,
        }
    }
}

fn wishes(pod: &Pod, namespace: &str, labels: &BTreeMap<String, String>) -> Wishes {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let terms = |terms: Option<&Vec<PodAffinityTerm>>| -> Vec<Term> {
        let terms = terms.into_iter().flatten();
        terms.map(|term| Term::read(term, namespace, labels)).collect()
    };
    let weighted = |terms: Option<&Vec<WeightedPodAffinityTerm>>, sign: i64| -> Vec<(i64, Term)> {
        let terms = terms.into_iter().flatten();
        terms
            .map(|one| {
                let term = Term::read(&one.pod_affinity_term, namespace, labels);
                (sign * i64::from(one.weight), term)
            })
            .collect()
    };
    let soft_near = near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref());
    let soft_far = far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_ref());
    let mut preferred = weighted(soft_near, 1);
    preferred.extend(weighted(soft_far, -1));
    Wishes {
        together: terms(
            near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref()),
        ),
        apart: terms(far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref())),
        preferred,
    }
}
