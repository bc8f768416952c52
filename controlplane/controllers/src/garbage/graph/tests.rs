use proptest::prelude::*;

use super::*;

fn node(name: &str, owners: &[&str]) -> Node {
    Node {
        place: Place {
            group: String::new(),
            kind: "Pod".into(),
            namespace: "default".into(),
            name: name.into(),
        },
        owners: owners
            .iter()
            .map(|uid| Owner {
                uid: (*uid).to_owned(),
                api_version: "v1".into(),
                kind: "Pod".into(),
                name: (*uid).to_owned(),
                blocks: true,
            })
            .collect(),
        deleting: false,
        finalizers: vec![],
    }
}

/// Where `node` puts an object of this name.
fn place(name: &str) -> Place {
    node(name, &[]).place
}

fn deleting(name: &str, owners: &[&str], finalizer: &str) -> Node {
    Node {
        deleting: true,
        finalizers: vec![finalizer.to_owned()],
        ..node(name, owners)
    }
}

fn graph(nodes: &[Node]) -> Graph {
    let mut graph = Graph::default();
    for node in nodes {
        graph.put(&node.place.name.clone(), node.clone());
    }
    graph
}

#[test]
fn an_object_with_a_living_owner_is_left_alone() {
    let graph = graph(&[node("owner", &[]), node("a", &["owner"])]);
    assert_eq!(graph.plan("a"), []);
}

#[test]
fn an_unknown_owner_is_asked_for_before_anything_is_deleted() {
    let mut graph = graph(&[node("a", &["owner"])]);
    assert!(matches!(graph.plan("a").as_slice(), [Step::Verify(uid, _)] if uid == "owner"));
    graph.remember_absent("owner", place("owner"));
    assert_eq!(graph.plan("a"), [Step::Delete(Policy::Background)]);
}

#[test]
fn a_deleted_owner_makes_its_dependents_dirty() {
    let mut graph = graph(&[node("owner", &[]), node("a", &["owner"])]);
    while graph.next_dirty().is_some() {}
    graph.remove("owner");
    assert_eq!(graph.next_dirty().as_deref(), Some("a"));
    assert_eq!(graph.plan("a"), [Step::Delete(Policy::Background)]);
}

#[test]
fn an_owner_of_the_same_name_but_another_uid_does_not_count() {
    let mut reborn = node("owner", &[]);
    reborn.place.name = "owner".into();
    let mut graph = Graph::default();
    graph.put("new-uid", reborn);
    graph.put("a", node("a", &["owner"]));
    assert!(matches!(graph.plan("a").as_slice(), [Step::Verify(..)]));
}

#[test]
fn of_two_owners_the_absent_one_is_struck_out() {
    let mut graph = graph(&[node("living", &[]), node("a", &["living", "gone"])]);
    graph.remember_absent("gone", place("gone"));
    assert_eq!(graph.plan("a"), [Step::Unlink("a".into(), vec!["gone".into()])]);
}

#[test]
fn foreground_deletion_goes_from_the_leaves_up() {
    let mut graph = graph(&[
        deleting("top", &[], FOREGROUND),
        node("middle", &["top"]),
        node("leaf", &["middle"]),
    ]);
    assert_eq!(graph.plan("top"), []);
    assert_eq!(graph.plan("middle"), [Step::Delete(Policy::Foreground)]);
    graph.put("middle", deleting("middle", &["top"], FOREGROUND));
    assert_eq!(graph.plan("middle"), []);
    assert_eq!(graph.plan("leaf"), [Step::Delete(Policy::Background)]);
    graph.remove("leaf");
    assert_eq!(graph.plan("middle"), [Step::Release(FOREGROUND)]);
    graph.remove("middle");
    assert_eq!(graph.plan("top"), [Step::Release(FOREGROUND)]);
}

#[test]
fn orphans_are_freed_before_their_owner_goes() {
    let graph = graph(&[deleting("owner", &[], ORPHAN), node("a", &["owner"])]);
    assert_eq!(
        graph.plan("owner"),
        [
            Step::Unlink("a".into(), vec!["owner".into()]),
            Step::Release(ORPHAN)
        ]
    );
}

#[test]
fn an_owner_in_another_namespace_is_no_owner_here_and_still_one_there() {
    let mut foreign = node("owner", &[]);
    foreign.place.namespace = "elsewhere".into();
    let mut neighbour = node("b", &["owner"]);
    neighbour.place.namespace = "elsewhere".into();
    let mut graph = graph(&[foreign, node("a", &["owner"]), neighbour]);
    assert!(matches!(graph.plan("a").as_slice(), [Step::Verify(..)]));
    settle(&mut graph);
    assert_eq!(graph.nodes.keys().collect::<Vec<_>>(), ["b", "owner"]);
}

#[test]
fn objects_that_own_each_other_go_together() {
    for policy in [FOREGROUND, ORPHAN] {
        let mut graph = graph(&[node("a", &["b"]), node("b", &["a"])]);
        settle(&mut graph);
        assert_eq!(graph.nodes.len(), 2);
        graph.put("a", deleting("a", &["b"], policy));
        settle(&mut graph);
        let left = if policy == FOREGROUND { 0 } else { 1 };
        assert_eq!(graph.nodes.len(), left, "{policy}");
    }
}

/// Plays the server: carries the graph's steps out until nothing is dirty.
fn settle(graph: &mut Graph) {
    for _ in 0..10_000 {
        let Some(uid) = graph.next_dirty() else {
            return;
        };
        for step in graph.plan(&uid) {
            match step {
                Step::Verify(owner, place) => {
                    if graph.get(&owner).is_none_or(|found| found.place != place) {
                        graph.remember_absent(&owner, place);
                        graph.mark(&uid);
                    }
                }
                Step::Unblock => {
                    let mut node = graph.get(&uid).unwrap().clone();
                    for owner in &mut node.owners {
                        owner.blocks = false;
                    }
                    graph.put(&uid, node);
                }
                Step::Delete(Policy::Background | Policy::Orphan) => graph.remove(&uid),
                Step::Delete(Policy::Foreground) => {
                    let mut node = graph.get(&uid).unwrap().clone();
                    node.deleting = true;
                    node.finalizers = vec![FOREGROUND.to_owned()];
                    graph.put(&uid, node);
                }
                Step::Unlink(target, owners) => {
                    let mut node = graph.get(&target).unwrap().clone();
                    node.owners.retain(|owner| !owners.contains(&owner.uid));
                    graph.put(&target, node);
                }
                Step::Release(_) => graph.remove(&uid),
            }
        }
    }
    panic!("the graph does not come to rest");
}

proptest! {
    /// Objects own only objects of smaller number, so there are no circles.
    #[test]
    fn exactly_what_hangs_on_the_deleted_object_goes(
        edges in proptest::collection::vec(proptest::collection::vec(0..20_usize, 0..3), 1..20),
        foreground in any::<bool>(),
    ) {
        let owners = |n: usize| -> Vec<String> {
            edges.get(n).into_iter().flatten().filter(|owner| **owner < n).map(|o| o.to_string()).collect()
        };
        let mut graph = Graph::default();
        for n in 0..edges.len() {
            let owners = owners(n);
            let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
            graph.put(&n.to_string(), node(&n.to_string(), &owners));
        }
        settle(&mut graph);
        if foreground {
            graph.put("0", deleting("0", &[], FOREGROUND));
        } else {
            graph.remove("0");
        }
        settle(&mut graph);
        let mut expected: BTreeSet<String> = BTreeSet::new();
        for n in 1..edges.len() {
            let owners = owners(n);
            if owners.is_empty() || owners.iter().any(|owner| expected.contains(owner)) {
                expected.insert(n.to_string());
            }
        }
        let left: BTreeSet<String> = graph.nodes.keys().cloned().collect();
        prop_assert_eq!(left, expected);
    }
}
