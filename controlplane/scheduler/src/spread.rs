//! `PodTopologySpread`: pods of a kind evenly over zones and nodes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, TopologySpreadConstraint};
use kube::core::{Selector, SelectorExt};

use crate::affinity;
use crate::facts::{NodeFacts, PodFacts};
use crate::filter::{Candidate, Refusal};
use crate::peers::{Peer, with_own_values};
use crate::snapshot::Snapshot;
use crate::tolerations::tolerates;

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Which pods are counted.
#[derive(Debug, Clone, PartialEq)]
enum Whom {
    /// Those in the pod's namespace that a selector selects.
    Selected(Selector),
    /// Those of the same controller.
    Siblings(String),
    /// None.
    Nobody,
}

/// A constraint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spread {
    key: String,
    max_skew: i64,
    min_domains: i64,
    whom: Whom,
    /// It forbids; otherwise it only prefers.
    pub(crate) hard: bool,
    /// It is the cluster's own, of which nodes need not have the label.
    default: bool,
    honours_affinity: bool,
    honours_taints: bool,
}

/// The constraints of a pod: its own, or the cluster's where a controller owns it.
pub(crate) fn constraints(pod: &Pod, peer: &Peer) -> Vec<Spread> {
    let stated = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.topology_spread_constraints.clone())
        .unwrap_or_default();
    if !stated.is_empty() {
        return stated.iter().map(|one| Spread::read(one, peer)).collect();
    }
    let siblings = peer.controller.clone().map(Whom::Siblings);
    // The defaults of upstream's plugin (`defaultingType: System`).
    siblings.map_or_else(Vec::new, |whom| {
        [(HOSTNAME, 3), (ZONE, 5)]
            .into_iter()
            .map(|(key, max_skew)| Spread {
                key: key.to_owned(),
                max_skew,
                min_domains: 1,
                whom: whom.clone(),
                hard: false,
                default: true,
                honours_affinity: true,
                honours_taints: false,
            })
            .collect()
    })
}

impl Spread {
    fn read(one: &TopologySpreadConstraint, peer: &Peer) -> Self {
        let keys = one.match_label_keys.as_deref().unwrap_or_default();
        let selector = one
            .label_selector
            .clone()
            .map(|selector| with_own_values(selector, keys, "In", &peer.labels));
        let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
        Self {
            key: one.topology_key.clone(),
            max_skew: i64::from(one.max_skew),
            min_domains: one.min_domains.map_or(1, i64::from),
            whom: selector.map_or(Whom::Nobody, Whom::Selected),
            hard: one.when_unsatisfiable == "DoNotSchedule",
            default: false,
            honours_affinity: one.node_affinity_policy.as_deref() != Some("Ignore"),
            honours_taints: one.node_taints_policy.as_deref() == Some("Honor"),
        }
    }

    fn counts(&self, other: &Peer, namespace: &str) -> bool {
        !other.leaving
            && other.namespace == namespace
            && match &self.whom {
                Whom::Selected(selector) => selector.matches(&other.labels),
                Whom::Siblings(controller) => other.controller.as_ref() == Some(controller),
                Whom::Nobody => false,
            }
    }

    /// Whether pods on a node count, and its domain with them.
    fn includes(&self, pod: &PodFacts, node: &NodeFacts) -> bool {
        let bears = || {
            node.taints
                .iter()
                .filter(|taint| taint.effect != "PreferNoSchedule")
                .all(|taint| tolerates(&pod.tolerations, taint))
        };
        (!self.honours_affinity || affinity::required(pod, node)) && (!self.honours_taints || bears())
    }

    /// Pods counted in each domain, that is, under each value of the label; empty domains too.
    fn domains(&self, pod: &PodFacts, keys: &[&str], snapshot: &Snapshot) -> BTreeMap<String, i64> {
        let mut domains = BTreeMap::new();
        for (facts, _) in snapshot.nodes() {
            let complete = keys.iter().all(|key| facts.labels.contains_key(*key));
            if let Some(value) = facts.labels.get(&self.key)
                && complete
                && self.includes(pod, facts)
            {
                *domains.entry(value.clone()).or_default() += self.on(pod, facts, snapshot);
            }
        }
        domains
    }

    /// Pods counted on one node.
    fn on(&self, pod: &PodFacts, node: &NodeFacts, snapshot: &Snapshot) -> i64 {
        let peers = snapshot.peers_on(&node.name);
        let counted = peers.filter(|peer| self.counts(peer, &pod.namespace));
        i64::try_from(counted.count()).unwrap_or(i64::MAX)
    }
}

/// The hard constraints of a pod with the pods counted in each domain.
#[derive(Debug, Default)]
pub(crate) struct Spreading(Vec<(Spread, BTreeMap<String, i64>)>);

impl Spreading {
    /// Counts for `pod`.
    pub(crate) fn of(pod: &PodFacts, snapshot: &Snapshot) -> Self {
        let hard = || pod.spreads.iter().filter(|spread| spread.hard);
        let keys: Vec<&str> = hard().map(|spread| spread.key.as_str()).collect();
        let counted = hard().map(|spread| (spread.clone(), spread.domains(pod, &keys, snapshot)));
        Self(counted.collect())
    }

    /// Whether the pod may go to `node` without lying too unevenly.
    pub(crate) fn admit(&self, pod: &PodFacts, node: &NodeFacts) -> Result<(), Refusal> {
        for (spread, domains) in &self.0 {
            let Some(value) = node.labels.get(&spread.key) else {
                return Err(Refusal::fixed(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let few = i64::try_from(domains.len()).unwrap_or(i64::MAX) < spread.min_domains;
            let least = if few {
                0
            } else {
                domains.values().copied().min().unwrap_or(0)
            };
            let own = i64::from(spread.counts(&pod.usage.peer, &pod.namespace));
            let here = domains.get(value).copied().unwrap_or_default();
            if here + own - least > spread.max_skew {
                return Err(Refusal::room(vec![
                    "node(s) didn't match pod topology spread constraints".to_owned(),
                ]));
            }
        }
        Ok(())
    }
}

/// The score from 0 to 100 of each candidate: the fewer of the pod's kind are near, the better.
pub(crate) fn scores(pod: &PodFacts, candidates: &[Candidate<'_>]) -> Vec<i64> {
    let soft: Vec<&Spread> = pod.spreads.iter().filter(|spread| !spread.hard).collect();
    let Some(snapshot) = candidates.first().map(|candidate| candidate.snapshot) else {
        return Vec::new();
    };
    if soft.is_empty() {
        return vec![0; candidates.len()];
    }
    let required: Vec<&str> = soft
        .iter()
        .filter(|spread| !spread.default)
        .map(|spread| spread.key.as_str())
        .collect();
    let has_all = |facts: &NodeFacts| required.iter().all(|key| facts.labels.contains_key(*key));
    let mut crowds: Vec<Option<f64>> = candidates
        .iter()
        .map(|candidate| has_all(candidate.facts).then_some(0.0))
        .collect();
    for spread in soft {
        let counted = crowding(pod, spread, candidates, &required, snapshot);
        for (crowd, more) in crowds.iter_mut().zip(counted) {
            *crowd = crowd.map(|crowd| crowd + more);
        }
    }
    normalise(&crowds)
}

/// How crowded each candidate is by one constraint.
fn crowding(
    pod: &PodFacts,
    spread: &Spread,
    candidates: &[Candidate<'_>],
    required: &[&str],
    snapshot: &Snapshot,
) -> Vec<f64> {
    let values: BTreeSet<&String> = candidates
        .iter()
        .filter_map(|candidate| candidate.facts.labels.get(&spread.key))
        .collect();
    // Differences count for more where there are many domains.
    let weight = (float(values.len()) + 2.0).ln();
    let domains = (spread.key != HOSTNAME).then(|| spread.domains(pod, required, snapshot));
    let here = |facts: &NodeFacts| match &domains {
        None => spread.on(pod, facts, snapshot),
        Some(domains) => {
            let value = facts.labels.get(&spread.key);
            let count = value.and_then(|value| domains.get(value));
            count.copied().unwrap_or_default()
        }
    };
    candidates
        .iter()
        .map(|candidate| {
            if !candidate.facts.labels.contains_key(&spread.key) {
                return 0.0;
            }
            let count = usize::try_from(here(candidate.facts)).unwrap_or_default();
            let skew = usize::try_from(spread.max_skew - 1).unwrap_or_default();
            float(count) * weight + float(skew)
        })
        .collect()
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// The most crowded candidate gets the least; one without a required label gets nothing.
fn normalise(crowds: &[Option<f64>]) -> Vec<i64> {
    let rounded: Vec<Option<i64>> = crowds.iter().map(|crowd| crowd.map(round)).collect();
    let most = rounded.iter().flatten().copied().max().unwrap_or_default();
    let least = rounded.iter().flatten().copied().min().unwrap_or_default();
    let score = |crowd: &Option<i64>| match crowd {
        None => 0,
        Some(_) if most == 0 => 100,
        Some(crowd) => 100 * (most + least - crowd) / most,
    };
    rounded.iter().map(score).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a sum of pods and skews is far below what an i64 holds"
)]
fn round(crowd: f64) -> i64 {
    crowd.round() as i64
}

#[cfg(test)]
mod tests;
