//! Which pods to give up first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::pods;
use crate::meta;

/// Annotation by which a user says how dear a pod is; the cheaper goes first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Active pods of the same workload on each node, by node name.
pub(crate) type Crowding = BTreeMap<String, usize>;

/// The order of giving up, smallest first. The criteria are upstream's `ActivePodsWithRanks`, made
/// into one total order: unassigned, not running, not ready, cheap, crowded, ready for a shorter
/// time, restarted more, younger. Ages are compared by their magnitude, so that it is not
/// always the newest pod that goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    assigned: bool,
    phase: u8,
    ready: bool,
    cost: i32,
    crowding: Reverse<usize>,
    ready_age: i64,
    restarts: Reverse<i32>,
    age: i64,
    uid: String,
}

impl Rank {
    /// Ranks `pod` at `now`.
    pub(super) fn of(pod: &Pod, crowding: &Crowding, now: Timestamp) -> Self {
        let node = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.as_deref())
            .unwrap_or_default();
        let ready = pods::ready(pod);
        Self {
            assigned: !node.is_empty(),
            phase: match pods::phase(pod) {
                "Running" => 2,
                "Unknown" => 1,
                _ => 0,
            },
            ready: ready.is_some(),
            cost: meta::annotation(&pod.metadata, DELETION_COST)
                .and_then(|raw| raw.parse().ok())
                .unwrap_or(0),
            crowding: Reverse(crowding.get(node).copied().unwrap_or_default()),
            ready_age: ready.map_or(0, |condition| {
                magnitude(condition.last_transition_time.as_ref(), now)
            }),
            restarts: Reverse(restarts(pod)),
            age: magnitude(pod.metadata.creation_timestamp.as_ref(), now),
            uid: meta::uid(&pod.metadata).to_owned(),
        }
    }
}

/// The power of two of an age in nanoseconds; a missing time ranks below all ages.
fn magnitude(time: Option<&Time>, now: Timestamp) -> i64 {
    let Some(time) = time else { return -2 };
    match u128::try_from(now.duration_since(time.0).as_nanos()) {
        Ok(age) => age.checked_ilog2().map_or(-1, i64::from),
        Err(_) => -1,
    }
}

fn restarts(pod: &Pod) -> i32 {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .map(|container| container.restart_count)
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodSpec, PodStatus};
    use k8s_openapi::jiff::SignedDuration;
    use kube::api::ObjectMeta;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_000_000, 0);

    fn time(ago: i64) -> Time {
        Time(NOW - SignedDuration::from_secs(ago))
    }

    /// A ready pod on `node`, `age` seconds old and ready all the while.
    fn pod(uid: &str, node: &str, age: i64) -> Pod {
        Pod {
            metadata: ObjectMeta {
                uid: Some(uid.to_owned()),
                creation_timestamp: Some(time(age)),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec {
                node_name: Some(node.to_owned()),
                ..PodSpec::default()
            }),
            status: Some(PodStatus {
                phase: Some("Running".into()),
                conditions: Some(vec![PodCondition {
                    type_: "Ready".into(),
                    status: "True".into(),
                    last_transition_time: Some(time(age)),
                    ..PodCondition::default()
                }]),
                ..PodStatus::default()
            }),
        }
    }

    /// UIDs in the order of giving up.
    fn order(pods: &[Pod], crowding: &Crowding) -> Vec<String> {
        let mut ranks: Vec<Rank> = pods.iter().map(|pod| Rank::of(pod, crowding, NOW)).collect();
        ranks.sort();
        ranks.into_iter().map(|rank| rank.uid).collect()
    }

    #[test]
    fn unassigned_then_pending_then_unready_pods_go_first() {
        let unassigned = pod("unassigned", "", 9000);
        let mut pending = pod("pending", "n", 9000);
        pending.status.as_mut().unwrap().phase = Some("Pending".into());
        let mut unready = pod("unready", "n", 9000);
        unready.status.as_mut().unwrap().conditions = None;
        let all = [pod("ready", "n", 1), unready, pending, unassigned];
        let expected = ["unassigned", "pending", "unready", "ready"];
        assert_eq!(order(&all, &Crowding::new()), expected);
    }

    #[test]
    fn a_cheaper_pod_goes_before_a_younger_one() {
        let mut cheap = pod("cheap", "n", 9000);
        cheap.metadata.annotations = Some([(DELETION_COST.to_owned(), "-5".to_owned())].into());
        let all = [pod("young", "n", 1), cheap];
        assert_eq!(order(&all, &Crowding::new()), ["cheap", "young"]);
    }

    #[test]
    fn the_crowded_node_loses_its_pod_first() {
        let crowding = Crowding::from([("full".to_owned(), 3), ("calm".to_owned(), 1)]);
        let all = [pod("a", "calm", 10), pod("b", "full", 10)];
        assert_eq!(order(&all, &crowding), ["b", "a"]);
    }

    #[test]
    fn the_more_restarted_goes_before_the_younger() {
        let mut restarted = pod("restarted", "n", 100);
        restarted.status.as_mut().unwrap().container_statuses = Some(vec![ContainerStatus {
            restart_count: 4,
            ..ContainerStatus::default()
        }]);
        let all = [pod("calm", "n", 100), restarted];
        assert_eq!(order(&all, &Crowding::new()), ["restarted", "calm"]);
    }
}
