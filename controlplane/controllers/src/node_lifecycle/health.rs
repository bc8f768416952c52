//! What is said of a node that has fallen silent. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::meta;

/// The conditions that a node itself keeps up; the network's is not among them.
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// How long a node may take to write its first status, as upstream.
const STARTUP_GRACE: Duration = Duration::from_secs(60);

/// How much longer a node may be silent, nothing where it has been for too long.
pub(super) fn patience(node: &Node, silence: Duration, grace: Duration) -> Option<Duration> {
    let grace = if meta::node_ready(node).is_some() {
        grace
    } else {
        STARTUP_GRACE.max(grace)
    };
    grace.checked_sub(silence).filter(|left| !left.is_zero())
}

/// The conditions to write of a node that has been silent for too long; none once they say so.
pub(super) fn unknown(node: &Node, now: Timestamp) -> Vec<NodeCondition> {
    let known = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let wanted = CONDITIONS.into_iter().filter_map(|type_| {
        let found = known
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == type_);
        match found {
            None => Some(never_told(node, type_, now)),
            Some(condition) if condition.status == "Unknown" => None,
            Some(condition) => Some(NodeCondition {
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusUnknown".to_owned()),
                message: Some("Kubelet stopped posting node status.".to_owned()),
                last_transition_time: Some(Time(now)),
                ..condition.clone()
            }),
        }
    });
    wanted.collect()
}

fn never_told(node: &Node, type_: &str, now: Timestamp) -> NodeCondition {
    NodeCondition {
        type_: type_.to_owned(),
        status: "Unknown".to_owned(),
        reason: Some("NodeStatusNeverUpdated".to_owned()),
        message: Some("Kubelet never posted node status.".to_owned()),
        last_heartbeat_time: node.metadata.creation_timestamp.clone(),
        last_transition_time: Some(Time(now)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_000, 0);

    fn node(conditions: Value) -> Node {
        serde_json::from_value(json!({ "status": { "conditions": conditions } })).unwrap()
    }

    #[test]
    fn all_that_the_node_kept_up_becomes_unknown_once() {
        let mut node = node(json!([
            { "type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": "1970-01-01T00:00:00Z" },
            { "type": "NetworkUnavailable", "status": "False" },
        ]));
        let written = unknown(&node, NOW);
        let told: Vec<(&str, Option<&str>)> = written
            .iter()
            .map(|condition| (condition.type_.as_str(), condition.reason.as_deref()))
            .collect();
        let never = Some("NodeStatusNeverUpdated");
        assert_eq!(
            told,
            [
                ("Ready", Some("NodeStatusUnknown")),
                ("MemoryPressure", never),
                ("DiskPressure", never),
                ("PIDPressure", never),
            ]
        );
        assert!(written[0].last_heartbeat_time.is_some());
        node.status.as_mut().unwrap().conditions = Some(written);
        assert_eq!(unknown(&node, NOW), []);
    }

    #[test]
    fn a_node_that_never_spoke_has_a_minute() {
        let grace = Duration::from_secs(50);
        let seconds = Duration::from_secs;
        let spoke = node(json!([{ "type": "Ready", "status": "True" }]));
        assert_eq!(patience(&spoke, seconds(20), grace), Some(seconds(30)));
        assert_eq!(patience(&spoke, seconds(50), grace), None);
        let silent = node(json!([]));
        assert_eq!(patience(&silent, seconds(50), grace), Some(seconds(10)));
    }
}
