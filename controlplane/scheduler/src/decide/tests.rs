use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Taint;
use proptest::prelude::*;

use super::*;
use crate::testing::{node, pod, usage};

fn cluster(nodes: &[(&str, i64)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, cpu) in nodes {
        snapshot.set_node(node(name, *cpu));
    }
    snapshot
}

#[test]
fn the_emptier_node_wins() {
    let mut snapshot = cluster(&[("busy", 1000), ("calm", 1000)]);
    snapshot.place("other", "busy", usage(800));
    for seed in 0..10 {
        assert_eq!(
            decide(&pod("a", 100), &snapshot, seed),
            Decision::Node("calm".into())
        );
    }
}

#[test]
fn a_taint_that_only_prefers_is_avoided_where_possible() {
    let mut snapshot = cluster(&[("a", 1000)]);
    let mut tainted = node("b", 1000);
    tainted.taints = vec![Taint {
        key: "old".into(),
        effect: "PreferNoSchedule".into(),
        ..Taint::default()
    }];
    snapshot.set_node(tainted);
    assert_eq!(decide(&pod("p", 100), &snapshot, 7), Decision::Node("a".into()));
}

#[test]
fn equal_nodes_share_the_pods_and_a_seed_repeats_itself() {
    let snapshot = cluster(&[("a", 1000), ("b", 1000), ("c", 1000)]);
    let chosen: Vec<Decision> = (0..60)
        .map(|n| decide(&pod(&format!("uid-{n}"), 100), &snapshot, 1))
        .collect();
    let again: Vec<Decision> = (0..60)
        .map(|n| decide(&pod(&format!("uid-{n}"), 100), &snapshot, 1))
        .collect();
    assert_eq!(chosen, again);
    let names: BTreeSet<String> = chosen
        .into_iter()
        .map(|decision| format!("{decision:?}"))
        .collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn the_message_counts_nodes_by_reason_as_kube_scheduler_does() {
    let mut snapshot = cluster(&[("a", 100), ("b", 100)]);
    let mut tainted = node("c", 1000);
    tainted.taints = vec![Taint {
        key: "dedicated".into(),
        value: Some("db".into()),
        effect: "NoSchedule".into(),
        time_added: None,
    }];
    snapshot.set_node(tainted);
    snapshot.place("other", "a", usage(50));
    let Decision::Unschedulable(message) = decide(
        &pod("p", 80),
        &{
            let mut full = snapshot.clone();
            full.place("another", "b", usage(50));
            full
        },
        0,
    ) else {
        panic!("nothing fits");
    };
    assert_eq!(
        message,
        "0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: db}, \
         2 Insufficient cpu. preemption: 0/3 nodes are available: \
         2 No preemption victims found for incoming pod, \
         1 Preemption is not helpful for scheduling."
    );
}

#[test]
fn without_nodes_the_message_says_so() {
    assert_eq!(
        decide(&pod("p", 0), &Snapshot::default(), 0),
        Decision::Unschedulable("no nodes available to schedule pods".into())
    );
}

#[test]
fn closed_gates_keep_a_pod_from_being_looked_at() {
    let mut gated = pod("p", 0);
    gated.gated = true;
    let snapshot = cluster(&[("a", 1000)]);
    assert_eq!(decide(&gated, &snapshot, 0), Decision::Gated);
}

proptest! {
    #[test]
    fn assumed_decisions_never_overbook_a_node(
        capacities in proptest::collection::vec(0..4000_i64, 1..5),
        demands in proptest::collection::vec(0..1500_i64, 0..30),
        seed in any::<u64>(),
    ) {
        let mut snapshot = Snapshot::default();
        for (n, cpu) in capacities.iter().enumerate() {
            snapshot.set_node(node(&format!("n{n}"), *cpu));
        }
        for (n, cpu) in demands.iter().enumerate() {
            let pod = pod(&format!("p{n}"), *cpu);
            if let Decision::Node(name) = decide(&pod, &snapshot, seed) {
                snapshot.assume(&pod.uid, &name, pod.usage.clone());
            }
        }
        for (facts, state) in snapshot.nodes() {
            prop_assert!(state.requested.get("cpu") <= facts.allocatable.get("cpu"));
            prop_assert!(state.pods.len() <= 10);
        }
    }
}
