//! A pod's row in a table.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::summary::Summary;
use crate::kinds::cells::{NONE, or_none};
use crate::kinds::define::{age, name, text};
use crate::read;
use crate::resource::Column;
use crate::time;

// Upstream's descriptions of columns, to the letter.
const NODE_HELP: &str = "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by \
    the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes \
    responsible for the lifecycle of this pod. This field should not be used to express a desire for the pod to \
    be scheduled on a specific node. \
    https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename";
const NOMINATED_NODE_HELP: &str = "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled \
    right away as preemption victims receive their graceful termination periods. This field does not guarantee \
    that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes \
    become available sooner. Scheduler may also decide to give the resources on this node to a higher priority \
    pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when \
    the pod is scheduled.";
const READINESS_GATES_HELP: &str = "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its \
    containers are ready AND all conditions specified in the readiness gates have status equal to \"True\" More \
    info: https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates";

pub(super) fn columns() -> Vec<Column> {
    vec![
        name(),
        text("Ready", "The aggregate readiness state of this pod for accepting traffic.", |pod, _| {
            let summary = Summary::of(pod);
            format!("{}/{}", summary.ready, summary.total).into()
        }),
        text("Status", "The aggregate status of the containers in this pod.", |pod, _| {
            Summary::of(pod).reason.into()
        }),
        text("Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.", restarts),
        age(),
        text("IP", "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.", ip).wide(),
        text("Node", NODE_HELP, |pod, _| {
            or_none(read::text(pod, "spec.nodeName"))
        })
        .wide(),
        text("Nominated Node", NOMINATED_NODE_HELP, |pod, _| {
            or_none(read::text(pod, "status.nominatedNodeName"))
        })
        .wide(),
        text("Readiness Gates", READINESS_GATES_HELP, gates).wide(),
    ]
}

/// That a pod is done, by which clients leave it out or dim it.
pub(super) fn conditions(pod: &Value) -> Vec<Value> {
    let (reason, message) = match read::text(pod, "status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

fn restarts(pod: &Value, now: Timestamp) -> Value {
    let summary = Summary::of(pod);
    match summary.last_restart {
        Some(last) if summary.restarts > 0 => {
            let since = time::human_duration(now.as_second() - last.as_second());
            format!("{} ({since} ago)", summary.restarts).into()
        }
        _ => summary.restarts.to_string().into(),
    }
}

fn ip(pod: &Value, _: Timestamp) -> Value {
    match read::list(pod, "status.podIPs")
        .first()
        .map(|address| read::text(address, "ip"))
    {
        Some(address) if !address.is_empty() => address.into(),
        _ => or_none(read::text(pod, "status.podIP")),
    }
}

fn gates(pod: &Value, _: Timestamp) -> Value {
    let gates = read::list(pod, "spec.readinessGates");
    if gates.is_empty() {
        return NONE.into();
    }
    let met = gates.iter().filter(|gate| {
        read::condition(pod, read::text(gate, "conditionType"))
            .is_some_and(|condition| read::text(condition, "status") == "True")
    });
    format!("{}/{}", met.count(), gates.len()).into()
}

#[cfg(test)]
mod tests;
