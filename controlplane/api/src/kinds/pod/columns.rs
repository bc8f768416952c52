//! A pod's row in a table.

use jiff::Timestamp;
use serde_json::Value;

use super::summary::Summary;
use crate::kinds::cells::{NONE, or_none};
use crate::kinds::define::{age, name, text};
use crate::read;
use crate::resource::Column;
use crate::time;

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
        text("Node", "NodeName indicates in which node this pod is scheduled.", |pod, _| {
            or_none(read::text(pod, "spec.nodeName"))
        })
        .wide(),
        text("Nominated Node", "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away.", |pod, _| {
            or_none(read::text(pod, "status.nominatedNodeName"))
        })
        .wide(),
        text("Readiness Gates", "If specified, all readiness gates will be evaluated for pod readiness.", gates).wide(),
    ]
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
