//! The taints a node should have. Pure.

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::nodes::{NOT_READY, UNREACHABLE, taints};

/// Taint of a cordoned node.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Condition, its status, and the taint that keeps new pods away meanwhile.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// Whether pods may be driven away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eviction {
    /// As the node's condition asks.
    Allowed,
    /// Not yet: taints that do so are not added, those that do stay.
    Later,
    /// No node is ready: taints that do so are taken away.
    Never,
}

/// The taints to write, where they differ from what the node has.
pub(super) fn plan(node: &Node, eviction: Eviction, now: Timestamp) -> Option<Vec<Taint>> {
    let status = crate::meta::node_ready(node)?;
    let has = taints(node);
    let mut wanted = no_schedule(node);
    wanted.extend(no_execute(has, status, eviction).map(|key| (key, "NoExecute")));
    let mut list: Vec<Taint> = has
        .iter()
        .filter(|taint| !is_ours(taint) || wanted.contains(&(taint.key.as_str(), taint.effect.as_str())))
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !list
            .iter()
            .any(|taint| taint.key == key && taint.effect == effect)
        {
            list.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                value: None,
                time_added: Some(Time(now)),
            });
        }
    }
    (list != has).then_some(list)
}

/// Whether a taint comes and goes with what this controller sees.
fn is_ours(taint: &Taint) -> bool {
    let by_condition = BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key);
    match taint.effect.as_str() {
        "NoSchedule" => by_condition || taint.key == UNSCHEDULABLE,
        "NoExecute" => matches!(taint.key.as_str(), NOT_READY | UNREACHABLE),
        _ => false,
    }
}

fn no_schedule(node: &Node) -> Vec<(&'static str, &'static str)> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let holds = |type_: &str, status: &str| {
        let mut all = conditions.into_iter().flatten();
        all.any(|condition| condition.type_ == type_ && condition.status == status)
    };
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    let by_condition = BY_CONDITION
        .into_iter()
        .filter(|(type_, status, _)| holds(type_, status))
        .map(|(_, _, key)| key);
    let keys = by_condition.chain(cordoned.then_some(UNSCHEDULABLE));
    keys.map(|key| (key, "NoSchedule")).collect()
}

/// The taint that drives pods away from a node in this state.
fn no_execute(has: &[Taint], status: &str, eviction: Eviction) -> Option<&'static str> {
    let key = match status {
        "True" => return None,
        "False" => NOT_READY,
        _ => UNREACHABLE,
    };
    let driven_already = has
        .iter()
        .any(|taint| taint.effect == "NoExecute" && matches!(taint.key.as_str(), NOT_READY | UNREACHABLE));
    match eviction {
        Eviction::Allowed => Some(key),
        // What drives its pods away already goes on doing so under its new name.
        Eviction::Later => driven_already.then_some(key),
        Eviction::Never => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_000, 0);

    fn node(ready: &str, taints: Value) -> Node {
        serde_json::from_value(json!({
            "spec": { "taints": taints },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    fn shown(taints: Option<Vec<Taint>>) -> Vec<String> {
        let list = taints.unwrap_or_default();
        list.iter()
            .map(|taint| {
                format!(
                    "{}:{}",
                    taint.key.replace("node.kubernetes.io/", ""),
                    taint.effect
                )
            })
            .collect()
    }

    #[test]
    fn a_new_node_loses_its_taint_when_it_becomes_ready_and_keeps_foreign_ones() {
        let starting = json!([
            { "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" },
            { "key": "dedicated", "value": "db", "effect": "NoExecute" },
        ]);
        let ready = node("True", starting.clone());
        assert_eq!(
            shown(plan(&ready, Eviction::Allowed, NOW)),
            ["dedicated:NoExecute"]
        );
        let silent: Node = serde_json::from_value(json!({ "spec": { "taints": starting } })).unwrap();
        assert_eq!(plan(&silent, Eviction::Allowed, NOW), None);
    }

    #[test]
    fn a_lost_node_takes_no_new_pods_at_once_and_drives_pods_away_when_allowed() {
        let lost = node("Unknown", json!([]));
        assert_eq!(
            shown(plan(&lost, Eviction::Later, NOW)),
            ["unreachable:NoSchedule"]
        );
        let all = plan(&lost, Eviction::Allowed, NOW).unwrap();
        assert!(all.iter().all(|taint| taint.time_added == Some(Time(NOW))));
        assert_eq!(
            shown(Some(all)),
            ["unreachable:NoSchedule", "unreachable:NoExecute"]
        );
    }

    #[test]
    fn a_node_that_comes_back_unready_swaps_its_taint_without_waiting() {
        let lost = node(
            "False",
            json!([{ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" }]),
        );
        let expected = ["not-ready:NoSchedule", "not-ready:NoExecute"];
        assert_eq!(shown(plan(&lost, Eviction::Later, NOW)), expected);
    }

    #[test]
    fn where_no_node_is_ready_nobody_is_driven_away() {
        let lost = node(
            "Unknown",
            json!([{ "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" }]),
        );
        assert_eq!(
            shown(plan(&lost, Eviction::Never, NOW)),
            ["unreachable:NoSchedule"]
        );
    }

    proptest! {
        #[test]
        fn an_applied_plan_leaves_nothing_to_plan_and_foreign_taints_alone(
            ready in prop_oneof![Just("True"), Just("False"), Just("Unknown")],
            pressed in any::<bool>(),
            cordoned in any::<bool>(),
            eviction in prop_oneof![Just(Eviction::Allowed), Just(Eviction::Later), Just(Eviction::Never)],
            before in proptest::sample::subsequence(vec![
                (NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute"), (UNREACHABLE, "NoExecute"),
                (UNSCHEDULABLE, "NoSchedule"), (NOT_READY, "PreferNoSchedule"), ("mine", "NoExecute"),
            ], 0..6),
        ) {
            let taints: Vec<Value> = before
                .iter()
                .map(|(key, effect)| json!({ "key": key, "effect": effect }))
                .collect();
            let mut node = node(ready, json!(taints));
            let status = if pressed { "True" } else { "False" };
            let condition = serde_json::from_value(json!({ "type": "DiskPressure", "status": status })).unwrap();
            node.status.as_mut().unwrap().conditions.as_mut().unwrap().push(condition);
            node.spec.as_mut().unwrap().unschedulable = Some(cordoned);
            if let Some(list) = plan(&node, eviction, NOW) {
                let foreign = |list: &[Taint]| list.iter().filter(|taint| !is_ours(taint)).count();
                prop_assert_eq!(foreign(&list), foreign(crate::nodes::taints(&node)));
                node.spec.as_mut().unwrap().taints = Some(list);
            }
            prop_assert_eq!(plan(&node, eviction, NOW), None);
        }
    }
}
