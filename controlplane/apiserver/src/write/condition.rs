//! Conditions that the server itself sets on a pod.

use controlplane_api::meta;
use controlplane_apimachinery::condition;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Sets the condition `kind` of `pod` to true; its transition time moves only with its status.
///
/// `words` are its reason and message, where it has them.
pub(crate) fn set_true(pod: &mut Value, kind: &str, words: Option<(&str, &str)>, now: Timestamp) {
    let mut wanted = json!({"type": kind, "status": "True", "lastProbeTime": null});
    let map = meta::object_mut(&mut wanted);
    if let Some(generation) = pod
        .get("metadata")
        .and_then(|metadata| metadata.get("generation"))
    {
        map.insert("observedGeneration".to_owned(), generation.clone());
    }
    if let Some((reason, message)) = words {
        map.insert("reason".to_owned(), reason.into());
        map.insert("message".to_owned(), message.into());
    }
    if let Some(list) = condition::of_mut(pod) {
        condition::set(list, wanted, now);
    }
}
