//! `InterPodAffinity`: pods that want to be near others, or far from them.

use std::collections::BTreeMap;

use crate::facts::{NodeFacts, PodFacts};
use crate::filter::Refusal;
use crate::peers::Term;
use crate::snapshot::{Resident, Snapshot};

/// What required affinity of a placed pod is worth to one that it would have near, as upstream.
const HARD_WEIGHT: i64 = 1;

/// Numbers by label and value of nodes.
type ByTopology = BTreeMap<(String, String), i64>;

/// What a decision needs to know of all placed pods.
#[derive(Debug, Default)]
pub(crate) struct Company {
    /// Pods that meet all terms of the pod's affinity.
    wanted: ByTopology,
    /// Pods that meet a term of its anti-affinity.
    shunned: ByTopology,
    /// Pods whose anti-affinity it meets.
    shunning: ByTopology,
    /// Preferences of both sides.
    preferred: ByTopology,
    /// Nobody it wants is anywhere, but it is of the kind itself: the first of its series.
    is_first: bool,
}

impl Company {
    /// Looks at everybody for `pod`; costs nothing where nobody has wishes.
    pub(crate) fn of(pod: &PodFacts, snapshot: &Snapshot) -> Self {
        let mut company = Self::default();
        for resident in snapshot.residents_with_wishes() {
            company.hear(pod, &resident, snapshot);
        }
        let wishes = &pod.usage.peer.wishes;
        if !wishes.is_empty() {
            for resident in snapshot.residents() {
                company.choose(pod, &resident, snapshot);
            }
        }
        let of_the_kind = |term: &Term| term.matches(&pod.usage.peer, snapshot.namespaces());
        company.is_first = company.wanted.is_empty() && wishes.together.iter().all(of_the_kind);
        company
    }

    /// What a placed pod wants of this one.
    fn hear(&mut self, pod: &PodFacts, resident: &Resident<'_>, snapshot: &Snapshot) {
        let wishes = &resident.peer.wishes;
        let meets = |term: &&Term| term.matches(&pod.usage.peer, snapshot.namespaces());
        for term in wishes.apart.iter().filter(meets) {
            add(&mut self.shunning, resident.node, term, 1);
        }
        for term in wishes.together.iter().filter(meets) {
            add(&mut self.preferred, resident.node, term, HARD_WEIGHT);
        }
        for (weight, term) in wishes.preferred.iter().filter(|(_, term)| meets(&term)) {
            add(&mut self.preferred, resident.node, term, *weight);
        }
    }

    /// What this pod wants of a placed one.
    fn choose(&mut self, pod: &PodFacts, resident: &Resident<'_>, snapshot: &Snapshot) {
        let wishes = &pod.usage.peer.wishes;
        let meets = |term: &Term| term.matches(resident.peer, snapshot.namespaces());
        if wishes.together.iter().all(meets) {
            for term in &wishes.together {
                add(&mut self.wanted, resident.node, term, 1);
            }
        }
        for term in wishes.apart.iter().filter(|term| meets(term)) {
            add(&mut self.shunned, resident.node, term, 1);
        }
        for (weight, term) in wishes.preferred.iter().filter(|(_, term)| meets(term)) {
            add(&mut self.preferred, resident.node, term, *weight);
        }
    }

    /// Whether the pod may join those on `node`.
    pub(crate) fn admit(&self, pod: &PodFacts, node: &NodeFacts) -> Result<(), Refusal> {
        let wishes = &pod.usage.peer.wishes;
        let found = |map: &ByTopology, term: &Term| at(map, node, &term.key) > 0;
        let has_keys = wishes
            .together
            .iter()
            .all(|term| node.labels.contains_key(&term.key));
        let joined = wishes.together.iter().all(|term| found(&self.wanted, term));
        if !(has_keys && (joined || self.is_first)) {
            return Err(Refusal::fixed("node(s) didn't match pod affinity rules"));
        }
        if wishes.apart.iter().any(|term| found(&self.shunned, term)) {
            return Err(Refusal::room(vec![
                "node(s) didn't match pod anti-affinity rules".to_owned(),
            ]));
        }
        let shunned = self
            .shunning
            .keys()
            .any(|(key, value)| node.labels.get(key) == Some(value));
        if shunned {
            return Err(Refusal::room(vec![
                "node(s) didn't satisfy existing pods anti-affinity rules".to_owned(),
            ]));
        }
        Ok(())
    }

    /// How much the pod and those around `node` would like it there.
    pub(crate) fn liking(&self, node: &NodeFacts) -> i64 {
        self.preferred
            .iter()
            .filter(|((key, value), _)| node.labels.get(key) == Some(value))
            .map(|(_, weight)| weight)
            .sum()
    }
}

fn add(map: &mut ByTopology, node: &NodeFacts, term: &Term, weight: i64) {
    if let Some(value) = node.labels.get(&term.key) {
        *map.entry((term.key.clone(), value.clone())).or_default() += weight;
    }
}

fn at(map: &ByTopology, node: &NodeFacts, key: &str) -> i64 {
    let value = node.labels.get(key);
    let count = value.and_then(|value| map.get(&(key.to_owned(), value.clone())));
    count.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{labelled_node, social_pod};

    fn term(app: &str, key: &str) -> Value {
        json!({ "labelSelector": { "matchLabels": { "app": app } }, "topologyKey": key })
    }

    fn near(app: &str, key: &str) -> Value {
        json!({ "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term(app, key)] } })
    }

    fn far(app: &str, key: &str) -> Value {
        json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term(app, key)] } })
    }

    /// Nodes a1 and a2 in zone a, b1 in zone b.
    fn snapshot(placed: &[(&str, Value, &str)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, zone) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            snapshot.set_node(labelled_node(name, &[("zone", zone), ("host", name)]));
        }
        for (number, (app, affinity, node)) in placed.iter().enumerate() {
            let pod = social_pod(&format!("{app}-{number}"), app, affinity.clone());
            snapshot.place(&pod.uid, node, pod.usage);
        }
        snapshot
    }

    /// The nodes that take a pod.
    fn takers(app: &str, affinity: Value, snapshot: &Snapshot) -> Vec<String> {
        let pod = social_pod("new", app, affinity);
        let company = Company::of(&pod, snapshot);
        let nodes = snapshot.nodes();
        nodes
            .filter(|(facts, _)| company.admit(&pod, facts).is_ok())
            .map(|(facts, _)| facts.name.clone())
            .collect()
    }

    #[test]
    fn affinity_leads_to_the_zone_of_those_wanted() {
        let snapshot = snapshot(&[("db", Value::Null, "a1")]);
        assert_eq!(takers("web", near("db", "zone"), &snapshot), ["a1", "a2"]);
        assert_eq!(takers("web", near("db", "host"), &snapshot), ["a1"]);
        assert_eq!(takers("web", near("cache", "zone"), &snapshot), [""; 0]);
    }

    #[test]
    fn the_first_of_a_series_may_start_anywhere() {
        let empty = snapshot(&[]);
        assert_eq!(takers("web", near("web", "zone"), &empty), ["a1", "a2", "b1"]);
        assert_eq!(takers("web", near("web", "rack"), &empty), [""; 0]);
    }

    #[test]
    fn anti_affinity_counts_in_both_directions() {
        let shy = snapshot(&[("db", far("web", "zone"), "a1")]);
        assert_eq!(takers("web", Value::Null, &shy), ["b1"]);
        let plain = snapshot(&[("db", Value::Null, "a1")]);
        assert_eq!(takers("web", far("db", "host"), &plain), ["a2", "b1"]);
        assert_eq!(takers("web", Value::Null, &plain), ["a1", "a2", "b1"]);
    }

    #[test]
    fn terms_look_into_their_own_namespace_unless_they_name_others() {
        let mut snapshot = snapshot(&[("db", Value::Null, "a1")]);
        snapshot.set_namespace("default", BTreeMap::from([("team".to_owned(), "x".to_owned())]));
        let mut elsewhere = near("db", "zone");
        let terms = &mut elsewhere["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        terms[0]["namespaces"] = json!(["other"]);
        assert_eq!(takers("web", elsewhere.clone(), &snapshot), [""; 0]);
        let terms = &mut elsewhere["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        terms[0]["namespaceSelector"] = json!({ "matchLabels": { "team": "x" } });
        assert_eq!(takers("web", elsewhere, &snapshot), ["a1", "a2"]);
    }

    #[test]
    fn preferences_of_both_sides_are_summed() {
        let weighted = |side: &str, app: &str, weight: i32| {
            json!({ side: { "preferredDuringSchedulingIgnoredDuringExecution": [
                { "weight": weight, "podAffinityTerm": term(app, "zone") },
            ] } })
        };
        let snapshot = snapshot(&[
            ("db", weighted("podAntiAffinity", "web", 30), "a1"),
            ("cache", Value::Null, "b1"),
        ]);
        let pod = social_pod("new", "web", weighted("podAffinity", "cache", 50));
        let company = Company::of(&pod, &snapshot);
        let likings: Vec<i64> = snapshot.nodes().map(|(facts, _)| company.liking(facts)).collect();
        assert_eq!(likings, [-30, -30, 50]);
    }
}
