//! Whether a pod is to be cleared away, and why. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::meta;
use crate::nodes::{OUT_OF_SERVICE, taints};

/// How long a node must have been gone before its pods follow, as upstream: a Node deleted by
/// mistake is registered again by then.
const QUARANTINE: Duration = Duration::from_secs(40);

/// What is known of the node a pod is on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Home<'a> {
    /// The pod has none.
    None,
    /// It is there.
    Node(&'a Node),
    /// It has been gone for so long.
    Gone(Duration),
}

/// Why a pod is cleared away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was deleted before it had a node.
    NeverPlaced,
    /// Its node has gone.
    Orphaned,
    /// Its node is off and an operator says it stays so.
    OutOfService,
    /// There are too many ended pods.
    Excess,
}

/// What is to be done about a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Look again after this long.
    Wait(Duration),
    /// Make sure that the node has gone, then remove the pod.
    Remove(Reason),
}

/// What is to be done about `pod`; `excess` tells whether it is one ended pod too many.
pub(super) fn plan(pod: &Pod, home: Home<'_>, excess: bool) -> Step {
    let deleting = meta::is_deleting(&pod.metadata);
    match home {
        _ if excess => Step::Remove(Reason::Excess),
        Home::None if deleting => Step::Remove(Reason::NeverPlaced),
        Home::None => Step::Nothing,
        Home::Gone(since) => match QUARANTINE.checked_sub(since) {
            Some(left) if !left.is_zero() => Step::Wait(left),
            _ => Step::Remove(Reason::Orphaned),
        },
        Home::Node(node) if deleting && is_off(node) => Step::Remove(Reason::OutOfService),
        Home::Node(_) => Step::Nothing,
    }
}

fn is_off(node: &Node) -> bool {
    !meta::node_is_ready(node) && taints(node).iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

impl Reason {
    /// The condition that tells why a pod that had not ended was removed: reason and message.
    pub(super) fn condition(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Orphaned => Some(("DeletionByPodGC", "PodGC: node no longer exists")),
            Self::OutOfService => Some(("DeletionByPodGC", "PodGC: node is out of service")),
            Self::NeverPlaced | Self::Excess => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(deleting: bool) -> Pod {
        let time = deleting.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({ "metadata": { "deletionTimestamp": time } })).unwrap()
    }

    fn node(ready: &str, taints: Value) -> Node {
        serde_json::from_value(json!({
            "spec": { "taints": taints },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    #[test]
    fn pods_of_a_gone_node_follow_it_after_forty_seconds() {
        let gone = |seconds| plan(&pod(false), Home::Gone(Duration::from_secs(seconds)), false);
        assert_eq!(gone(10), Step::Wait(Duration::from_secs(30)));
        assert_eq!(gone(40), Step::Remove(Reason::Orphaned));
    }

    #[test]
    fn a_pod_being_deleted_is_finished_off_only_where_no_agent_will() {
        let off = json!([{ "key": OUT_OF_SERVICE, "effect": "NoExecute" }]);
        for (deleting, home, expected) in [
            (true, Home::None, Step::Remove(Reason::NeverPlaced)),
            (false, Home::None, Step::Nothing),
            (true, Home::Node(&node("True", off.clone())), Step::Nothing),
            (true, Home::Node(&node("Unknown", json!([]))), Step::Nothing),
            (
                true,
                Home::Node(&node("Unknown", off.clone())),
                Step::Remove(Reason::OutOfService),
            ),
            (false, Home::Node(&node("Unknown", off)), Step::Nothing),
        ] {
            assert_eq!(plan(&pod(deleting), home, false), expected, "{deleting} {home:?}");
        }
    }

    #[test]
    fn one_ended_pod_too_many_goes_wherever_it_is() {
        let home = node("True", json!([]));
        let step = plan(&pod(false), Home::Node(&home), true);
        assert_eq!(step, Step::Remove(Reason::Excess));
    }
}
