use k8s_openapi::api::core::v1::NodeSpec;
use kube::api::ObjectMeta;
use proptest::prelude::*;

use super::*;

fn node(name: &str, uid: &str, network: Option<IpNet>) -> Node {
    let text = network.map(|network| network.to_string());
    Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidrs: text.clone().map(|text| vec![text]),
            pod_cidr: text,
            ..NodeSpec::default()
        }),
        status: None,
    }
}

fn four_parts() -> Allocations {
    Allocations::new(PodRange::new("10.42.0.0/22".parse().unwrap(), 24).unwrap())
}

fn assigned(network: &str) -> Step {
    Step::Assign(network.parse().unwrap())
}

/// Plans for a node and counts on the plan.
fn take(allocations: &mut Allocations, name: &str) -> Step {
    let step = allocations.plan(name);
    allocations.assume(name, step);
    step
}

#[test]
fn nodes_get_one_part_after_another() {
    let mut allocations = four_parts();
    for name in ["a", "b"] {
        allocations.see(&node(name, name, None));
    }
    assert_eq!(take(&mut allocations, "a"), assigned("10.42.0.0/24"));
    assert_eq!(take(&mut allocations, "b"), assigned("10.42.1.0/24"));
}

#[test]
fn what_is_assigned_already_is_kept_after_a_restart() {
    let mut allocations = four_parts();
    allocations.see(&node("old", "1", "10.42.0.0/24".parse().ok()));
    allocations.see(&node("new", "2", None));
    assert_eq!(take(&mut allocations, "old"), Step::Nothing);
    assert_eq!(take(&mut allocations, "new"), assigned("10.42.1.0/24"));
}

#[test]
fn a_lost_answer_is_tried_again_with_the_same_part() {
    let mut allocations = four_parts();
    allocations.see(&node("a", "1", None));
    let first = take(&mut allocations, "a");
    allocations.see(&node("a", "1", None));
    assert_eq!(take(&mut allocations, "a"), first);
}

#[test]
fn a_node_that_goes_gives_its_part_to_whoever_waits() {
    let mut allocations = four_parts();
    for name in ["a", "b", "c", "d", "late"] {
        allocations.see(&node(name, name, None));
        take(&mut allocations, name);
    }
    assert_eq!(allocations.disappointed().collect::<Vec<_>>(), ["late"]);
    assert_eq!(take(&mut allocations, "late"), Step::Nothing);
    allocations.forget("b");
    assert_eq!(take(&mut allocations, "late"), assigned("10.42.1.0/24"));
}

#[test]
fn a_part_given_back_rests_while_others_are_free() {
    let mut allocations = four_parts();
    allocations.see(&node("a", "1", None));
    take(&mut allocations, "a");
    allocations.forget("a");
    allocations.see(&node("a", "2", None));
    assert_eq!(take(&mut allocations, "a"), assigned("10.42.1.0/24"));
}

#[test]
fn a_wider_network_written_by_hand_takes_all_it_covers() {
    let mut allocations = four_parts();
    allocations.see(&node("wide", "1", "10.42.0.0/23".parse().ok()));
    allocations.see(&node("a", "2", None));
    assert_eq!(take(&mut allocations, "a"), assigned("10.42.2.0/24"));
}

#[derive(Debug, Clone)]
enum Action {
    Come(u8),
    Go(u8),
    Try(u8),
    /// The write arrives and the watch shows it.
    Arrive(u8),
    Relist,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let name = 0..7_u8;
    let action = prop_oneof![
        name.clone().prop_map(Action::Come),
        name.clone().prop_map(Action::Go),
        name.clone().prop_map(Action::Try),
        name.prop_map(Action::Arrive),
        Just(Action::Relist),
    ];
    proptest::collection::vec(action, 0..80)
}

proptest! {
    #[test]
    fn no_two_nodes_ever_share_a_part_and_none_leaks(actions in actions()) {
        let mut allocations = four_parts();
        let mut written: BTreeMap<String, Option<IpNet>> = BTreeMap::new();
        let mut promised: BTreeMap<String, IpNet> = BTreeMap::new();
        for (round, action) in actions.into_iter().enumerate() {
            match action {
                Action::Come(n) if !written.contains_key(&n.to_string()) => {
                    allocations.see(&node(&n.to_string(), &round.to_string(), None));
                    written.insert(n.to_string(), None);
                }
                Action::Come(_) => {}
                Action::Go(n) => {
                    allocations.forget(&n.to_string());
                    written.remove(&n.to_string());
                    promised.remove(&n.to_string());
                }
                Action::Try(n) => {
                    if let Step::Assign(network) = take(&mut allocations, &n.to_string()) {
                        promised.insert(n.to_string(), network);
                    }
                }
                Action::Arrive(n) => {
                    let name = n.to_string();
                    if let (Some(place), Some(network)) = (written.get_mut(&name), promised.get(&name)) {
                        *place = Some(*network);
                        let uid = allocations.nodes.get(&name).map(|entry| entry.uid.clone());
                        allocations.see(&node(&name, &uid.unwrap_or_default(), Some(*network)));
                        prop_assert_eq!(allocations.plan(&name), Step::Nothing);
                    }
                }
                Action::Relist => allocations.retain(&written.keys().cloned().collect()),
            }
            let distinct: BTreeSet<&IpNet> = promised.values().collect();
            prop_assert_eq!(distinct.len(), promised.len());
            prop_assert_eq!(allocations.holders.len(), promised.len());
        }
    }
}
