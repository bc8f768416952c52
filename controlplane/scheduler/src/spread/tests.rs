use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::decide::{Decision, decide};
use crate::testing::{labelled_node, pod, read};

fn zone_of(node: &str) -> &'static str {
    if node.starts_with('a') { "a" } else { "b" }
}

fn snapshot(nodes: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for name in nodes {
        snapshot.set_node(labelled_node(name, &[(HOSTNAME, name), (ZONE, zone_of(name))]));
    }
    snapshot
}

fn constraint(key: &str, skew: i32, when: &str) -> Value {
    json!({
        "maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when,
        "labelSelector": { "matchLabels": { "app": "web" } },
    })
}

fn web(uid: &str, constraints: &[Value]) -> PodFacts {
    read(json!({
        "metadata": {
            "name": uid, "uid": uid, "namespace": "default", "labels": { "app": "web" },
            "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set", "controller": true },
            ],
        },
        "spec": { "containers": [], "topologySpreadConstraints": constraints },
    }))
}

/// Places as many pods as will go; returns how many are on each node.
fn fill(snapshot: &mut Snapshot, count: usize, constraints: &[Value]) -> BTreeMap<String, usize> {
    let mut placed = BTreeMap::new();
    for number in 0..count {
        let pod = web(&format!("p{number}"), constraints);
        if let Decision::Node(name) = decide(&pod, snapshot, 7) {
            snapshot.assume(&pod.uid, &name, pod.usage.clone());
            *placed.entry(name).or_default() += 1;
        }
    }
    placed
}

fn counts(placed: &BTreeMap<String, usize>) -> Vec<usize> {
    placed.values().copied().collect()
}

#[test]
fn replicas_of_one_controller_land_on_different_nodes() {
    let mut snapshot = snapshot(&["a1", "a2", "b1"]);
    assert_eq!(counts(&fill(&mut snapshot, 3, &[])), [1, 1, 1]);
}

#[test]
fn replicas_avoid_the_node_of_their_siblings_even_where_it_is_the_emptier() {
    let mut snapshot = snapshot(&["a1", "a2"]);
    let first = web("first", &[]);
    snapshot.place("first", "a1", first.usage);
    snapshot.place("heavy", "a2", crate::testing::usage(400));
    assert_eq!(
        decide(&web("second", &[]), &snapshot, 0),
        Decision::Node("a2".into())
    );
}

#[test]
fn a_hard_constraint_holds_pods_back_rather_than_pile_them_up() {
    let mut uneven = snapshot(&["a1", "b1"]);
    let mut full = labelled_node("b1", &[(HOSTNAME, "b1"), (ZONE, "b")]);
    full.unschedulable = true;
    uneven.set_node(full);
    let hard = [constraint(ZONE, 1, "DoNotSchedule")];
    assert_eq!(counts(&fill(&mut uneven, 4, &hard)), [1]);
    let Decision::Unschedulable(message) = decide(&web("late", &hard), &uneven, 0) else {
        panic!("zone b must come first");
    };
    assert!(
        message.contains("1 node(s) didn't match pod topology spread constraints"),
        "{message}"
    );
}

#[test]
fn a_node_without_the_label_is_refused_for_good() {
    let mut bare = Snapshot::default();
    bare.set_node(labelled_node("x", &[]));
    let hard = [constraint(ZONE, 1, "DoNotSchedule")];
    let Decision::Unschedulable(message) = decide(&web("p", &hard), &bare, 0) else {
        panic!("no label, no place");
    };
    assert!(message.contains("(missing required label)"), "{message}");
}

#[test]
fn too_few_domains_count_as_if_one_were_empty() {
    let mut snapshot = snapshot(&["a1"]);
    let mut wide = constraint(ZONE, 1, "DoNotSchedule");
    wide["minDomains"] = json!(2);
    assert_eq!(counts(&fill(&mut snapshot, 3, &[wide])), [1]);
}

#[test]
fn a_soft_constraint_prefers_and_never_forbids() {
    let mut snapshot = snapshot(&["a1", "a2", "b1"]);
    let soft = [constraint(ZONE, 1, "ScheduleAnyway")];
    let placed = fill(&mut snapshot, 6, &soft);
    assert_eq!(placed.get("b1"), Some(&3), "{placed:?}");
    assert_eq!(placed.values().sum::<usize>(), 6);
}

#[test]
fn pods_of_nobody_are_not_spread() {
    let snapshot = snapshot(&["a1"]);
    assert!(pod("p", 0).spreads.is_empty());
    assert_eq!(fill(&mut snapshot.clone(), 1, &[]).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hard_constraints_are_never_broken_by_more_than_their_skew(
        nodes in proptest::sample::subsequence(vec!["a1", "a2", "a3", "b1", "b2"], 1..=5),
        count in 0..24_usize,
        skew in 1..4_i32,
    ) {
        let mut snapshot = snapshot(&nodes);
        let hard = [constraint(ZONE, skew, "DoNotSchedule")];
        let placed = fill(&mut snapshot, count, &hard);
        let mut zones: BTreeMap<&str, usize> = nodes.iter().map(|node| (zone_of(node), 0)).collect();
        for (node, count) in &placed {
            *zones.get_mut(zone_of(node)).unwrap() += count;
        }
        let most = zones.values().max().copied().unwrap_or_default();
        let least = zones.values().min().copied().unwrap_or_default();
        prop_assert!(most - least <= usize::try_from(skew).unwrap(), "{:?}", zones);
    }
}
