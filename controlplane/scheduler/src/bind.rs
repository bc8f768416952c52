//! The calls the scheduler makes: binding a pod, and saying why it waits.

use std::sync::Arc;

use controlplane_apimachinery::condition::dated;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod, PodCondition};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::facts::PodFacts;

/// Gives `pod` to `node`, provided it is still the same pod.
pub(crate) async fn bind(client: &Client, pod: &PodFacts, node: &str) -> Result<(), kube::Error> {
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            uid: Some(pod.uid.clone()),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let _: serde_json::Value = api(client, pod)
        .create_subresource("binding", &pod.name, &PostParams::default(), &binding)
        .await?;
    Ok(())
}

/// The condition that says why a pod waits, or nothing where it says so already.
pub(crate) fn condition(pod: &PodFacts, reason: &str, message: &str, now: Timestamp) -> Option<PodCondition> {
    let old = pod.condition.as_ref();
    let standing = old.is_some_and(|old| old.status == "False");
    let told = old.is_some_and(|old| {
        old.reason.as_deref() == Some(reason)
            && old.message.as_deref() == Some(message)
            && old.observed_generation == pod.generation
    });
    if standing && told {
        return None;
    }
    let wanted = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        observed_generation: pod.generation,
        ..PodCondition::default()
    };
    Some(dated(
        wanted,
        old.map(std::slice::from_ref).unwrap_or_default(),
        now,
    ))
}

/// Writes a condition of a pod.
pub(crate) async fn write_condition(
    client: Client,
    pod: Arc<PodFacts>,
    condition: PodCondition,
) -> Result<(), kube::Error> {
    let patch = json!({
        "metadata": { "uid": pod.uid },
        "status": { "conditions": [condition] },
    });
    api(&client, &pod)
        .patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(patch))
        .await?;
    Ok(())
}

fn api(client: &Client, pod: &PodFacts) -> Api<Pod> {
    Api::namespaced(client.clone(), &pod.namespace)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::testing::pod;

    #[test]
    fn a_new_message_keeps_the_time_since_when_the_pod_waits() {
        let (then, now) = (Timestamp::constant(10, 0), Timestamp::constant(20, 0));
        let mut waiting = pod("a", 0);
        waiting.condition = condition(&waiting, "Unschedulable", "no nodes", then);
        assert_eq!(condition(&waiting, "Unschedulable", "no nodes", now), None);
        let changed = condition(&waiting, "Unschedulable", "too small", now).unwrap();
        assert_eq!(changed.last_transition_time, Some(Time(then)));
    }

    #[test]
    fn a_condition_names_the_generation_that_it_was_concluded_from() {
        let (then, now) = (Timestamp::constant(10, 0), Timestamp::constant(20, 0));
        let mut waiting = pod("a", 0);
        waiting.generation = Some(1);
        waiting.condition = condition(&waiting, "Unschedulable", "no nodes", then);
        assert_eq!(waiting.condition.as_ref().unwrap().observed_generation, Some(1));
        waiting.generation = Some(2);
        let again = condition(&waiting, "Unschedulable", "no nodes", now).unwrap();
        assert_eq!(again.observed_generation, Some(2));
        assert_eq!(again.last_transition_time, Some(Time(then)));
    }
}
