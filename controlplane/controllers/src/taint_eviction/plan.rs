//! When a pod must leave its node. Pure.

use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::meta;
use crate::replicaset::pods;

/// What becomes of a pod under its node's taints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may stay.
    Stays,
    /// It must go at this time, which may have passed.
    LeavesAt(Timestamp),
}

/// What becomes of `pod` on a node with these `NoExecute` taints. A taint that does not say when it
/// was added counts from `first_seen`.
pub(super) fn fate<'a>(
    pod: &Pod,
    taints: impl IntoIterator<Item = &'a Taint>,
    first_seen: Timestamp,
) -> Fate {
    if pods::is_finished(pod) || meta::is_deleting(&pod.metadata) {
        return Fate::Stays;
    }
    let spec = pod.spec.as_ref();
    let tolerations = spec
        .and_then(|spec| spec.tolerations.as_deref())
        .unwrap_or_default();
    let arrived = arrival(pod);
    let ends = taints.into_iter().filter_map(|taint| {
        let added = taint.time_added.as_ref().map_or(first_seen, |time| time.0);
        let begin = arrived.map_or(added, |arrived| arrived.max(added));
        match tolerations.iter().find(|toleration| covers(toleration, taint)) {
            None => Some(Timestamp::MIN),
            Some(Toleration {
                toleration_seconds: None,
                ..
            }) => None,
            Some(Toleration {
                toleration_seconds: Some(seconds),
                ..
            }) => {
                let grace = SignedDuration::from_secs((*seconds).max(0));
                Some(begin.checked_add(grace).unwrap_or(Timestamp::MAX))
            }
        }
    });
    ends.min().map_or(Fate::Stays, Fate::LeavesAt)
}

/// When the pod came to its node.
fn arrival(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let scheduled = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "True")
        .and_then(|condition| condition.last_transition_time.as_ref());
    let created = pod.metadata.creation_timestamp.as_ref();
    scheduled.or(created).map(|time| time.0)
}

/// Whether a toleration covers a `NoExecute` taint.
fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    let (ours, theirs) = (text(&toleration.value), text(&taint.value));
    let of_effect = effect.is_empty() || effect == taint.effect;
    let of_key = key.is_empty() || key == taint.key;
    let numbers = || Some((ours.parse::<i64>().ok()?, theirs.parse::<i64>().ok()?));
    let of_value = match text(&toleration.operator).as_str() {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && ours == theirs,
        "Lt" => numbers().is_some_and(|(ours, theirs)| theirs < ours),
        "Gt" => numbers().is_some_and(|(ours, theirs)| theirs > ours),
        _ => false,
    };
    of_effect && of_key && of_value
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SEEN: Timestamp = Timestamp::constant(500, 0);

    fn pod(tolerations: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "creationTimestamp": "1970-01-01T00:00:10Z" },
            "spec": { "containers": [], "tolerations": tolerations },
        }))
        .unwrap()
    }

    fn taint(key: &str, added: Option<&str>) -> Taint {
        serde_json::from_value(json!({ "key": key, "effect": "NoExecute", "timeAdded": added })).unwrap()
    }

    fn tolerating(key: &str, seconds: Value) -> Value {
        json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds })
    }

    fn at(second: i64) -> Fate {
        Fate::LeavesAt(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_pod_leaves_when_the_shortest_of_its_tolerations_ends() {
        let taints = [taint("a", Some("1970-01-01T00:01:40Z")), taint("b", None)];
        for (tolerations, expected) in [
            (json!([]), Fate::LeavesAt(Timestamp::MIN)),
            (
                json!([tolerating("a", json!(300))]),
                Fate::LeavesAt(Timestamp::MIN),
            ),
            (
                json!([tolerating("a", json!(300)), tolerating("b", json!(null))]),
                at(400),
            ),
            (
                json!([tolerating("a", json!(null)), tolerating("b", json!(20))]),
                at(520),
            ),
            (json!([{ "operator": "Exists" }]), Fate::Stays),
        ] {
            assert_eq!(
                fate(&pod(tolerations.clone()), &taints, SEEN),
                expected,
                "{tolerations}"
            );
        }
    }

    #[test]
    fn a_pod_that_comes_later_than_the_taint_has_its_whole_time() {
        let mut late = pod(json!([tolerating("a", json!(30))]));
        late.metadata.creation_timestamp = serde_json::from_value(json!("1970-01-01T01:00:00Z")).unwrap();
        let old = taint("a", Some("1970-01-01T00:01:40Z"));
        assert_eq!(fate(&late, [&old], SEEN), at(3630));
    }

    #[test]
    fn pods_that_end_anyway_are_left_alone() {
        let mut going = pod(json!([]));
        going.metadata.deletion_timestamp = serde_json::from_value(json!("1970-01-01T00:00:20Z")).unwrap();
        assert_eq!(fate(&going, [&taint("a", None)], SEEN), Fate::Stays);
        assert_eq!(fate(&pod(json!([])), [], SEEN), Fate::Stays);
    }
}
