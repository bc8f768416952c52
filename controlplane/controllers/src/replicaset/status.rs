//! The status a `ReplicaSet` should show.

use controlplane_apimachinery::condition;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::pods;
use crate::meta;

/// Condition that says pods could not be created or deleted.
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Why the last management of pods failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// `FailedCreate` or `FailedDelete`.
    pub(super) reason: &'static str,
    /// The error in words.
    pub(super) message: String,
}

/// The status of `set` whose own pods are `owned`.
pub(super) fn status(
    set: &ReplicaSet,
    owned: &[&Pod],
    failure: Option<&Failure>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let active = || owned.iter().filter(|pod| pods::is_active(pod));
    let min_ready = min_ready(set);
    let terminating = owned
        .iter()
        .filter(|pod| meta::is_deleting(&pod.metadata) && !pods::is_finished(pod));
    let available =
        active().filter(|pod| pods::until_available(pod, min_ready, now).is_some_and(|left| left.is_zero()));
    ReplicaSetStatus {
        replicas: count(active()).unwrap_or_default(),
        fully_labeled_replicas: count(active().filter(|pod| has_template_labels(set, pod))),
        ready_replicas: count(active().filter(|pod| pods::ready(pod).is_some())),
        available_replicas: count(available),
        terminating_replicas: Some(count(terminating).unwrap_or_default()),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, failure, now),
    }
}

/// When a pod that is ready becomes available, for the nearest such pod.
pub(super) fn next_availability(set: &ReplicaSet, owned: &[&Pod], now: Timestamp) -> Option<SignedDuration> {
    owned
        .iter()
        .filter(|pod| pods::is_active(pod))
        .filter_map(|pod| pods::until_available(pod, min_ready(set), now))
        .filter(|left| left.is_positive())
        .min()
}

fn min_ready(set: &ReplicaSet) -> SignedDuration {
    let seconds = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
    SignedDuration::from_secs(seconds.unwrap_or_default().into())
}

/// A count as the API writes it: zero is left out.
fn count<T>(pods: impl Iterator<Item = T>) -> Option<i32> {
    i32::try_from(pods.count()).ok().filter(|count| *count > 0)
}

fn has_template_labels(set: &ReplicaSet, pod: &Pod) -> bool {
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let wanted = template
        .and_then(|template| template.metadata.as_ref())
        .and_then(|meta| meta.labels.as_ref());
    wanted
        .into_iter()
        .flatten()
        .all(|(key, value)| pod.metadata.labels.as_ref().and_then(|all| all.get(key)) == Some(value))
}

fn conditions(
    set: &ReplicaSet,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let observed = set.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions: Vec<ReplicaSetCondition> = observed.into_iter().flatten().cloned().collect();
    match failure {
        // The first failure stands until it is over.
        Some(_) if condition::find(&conditions, REPLICA_FAILURE).is_some() => {}
        Some(failure) => {
            let wanted = ReplicaSetCondition {
                type_: REPLICA_FAILURE.to_owned(),
                status: "True".to_owned(),
                reason: Some(failure.reason.to_owned()),
                message: Some(failure.message.clone()),
                last_transition_time: None,
            };
            condition::set(&mut conditions, wanted, now);
        }
        None => condition::remove(&mut conditions, REPLICA_FAILURE),
    }
    Some(conditions).filter(|conditions| !conditions.is_empty())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::ReplicaSetSpec;
    use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kube::api::ObjectMeta;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_000, 0);

    fn set(min_ready_seconds: i32) -> ReplicaSet {
        ReplicaSet {
            metadata: ObjectMeta {
                generation: Some(4),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                min_ready_seconds: Some(min_ready_seconds),
                ..ReplicaSetSpec::default()
            }),
            status: None,
        }
    }

    /// A running pod that has been ready for so many seconds.
    fn pod(ready_for: i64) -> Pod {
        Pod {
            status: Some(PodStatus {
                phase: Some("Running".into()),
                conditions: Some(vec![PodCondition {
                    type_: "Ready".into(),
                    status: "True".into(),
                    last_transition_time: Some(Time(NOW - SignedDuration::from_secs(ready_for))),
                    ..PodCondition::default()
                }]),
                ..PodStatus::default()
            }),
            ..Pod::default()
        }
    }

    #[test]
    fn a_pod_is_available_only_after_min_ready_seconds() {
        let (fresh, settled) = (pod(3), pod(30));
        let owned = [&fresh, &settled];
        let status = status(&set(10), &owned, None, NOW);
        assert_eq!(status.ready_replicas, Some(2));
        assert_eq!(status.available_replicas, Some(1));
        assert_eq!(status.observed_generation, Some(4));
        assert_eq!(
            next_availability(&set(10), &owned, NOW),
            Some(SignedDuration::from_secs(7))
        );
    }

    #[test]
    fn a_pod_being_deleted_is_counted_apart() {
        let mut ending = pod(30);
        ending.metadata.deletion_timestamp = Some(Time(NOW));
        let status = status(&set(0), &[&ending], None, NOW);
        assert_eq!((status.replicas, status.terminating_replicas), (0, Some(1)));
    }

    #[test]
    fn a_failure_shows_until_it_is_over_and_keeps_its_time() {
        let failure = Failure {
            reason: "FailedCreate",
            message: "no".into(),
        };
        let mut set = set(0);
        set.status = Some(status(&set, &[], Some(&failure), NOW));
        let later = NOW + SignedDuration::from_secs(60);
        let standing = status(&set, &[], Some(&failure), later);
        assert_eq!(standing.conditions, set.status.as_ref().unwrap().conditions);
        assert_eq!(status(&set, &[], None, later).conditions, None);
    }
}
