//! Conditions that the server itself sets on a pod.

use controlplane_api::meta;
use serde_json::{Value, json};

/// Sets the condition `kind` of `pod` to true; its transition time moves only with its status.
///
/// `words` are its reason and message, where it has them.
pub(crate) fn set_true(pod: &mut Value, kind: &str, words: Option<(&str, &str)>, now: &str) {
    let status = meta::object_mut(meta::member_mut(pod, "status"));
    let slot = status.entry("conditions").or_insert_with(|| json!([]));
    if !slot.is_array() {
        *slot = json!([]);
    }
    let Some(conditions) = slot.as_array_mut() else {
        return;
    };
    let text =
        |condition: &Value, field: &str| condition.get(field).and_then(Value::as_str).map(str::to_owned);
    let is_it = |condition: &Value| text(condition, "type").as_deref() == Some(kind);
    let since = conditions
        .iter()
        .find(|condition| is_it(condition) && text(condition, "status").as_deref() == Some("True"))
        .and_then(|before| before.get("lastTransitionTime").cloned())
        .unwrap_or_else(|| now.into());
    conditions.retain(|condition| !is_it(condition));
    let mut condition =
        json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": since});
    if let (Some((reason, message)), Some(map)) = (words, condition.as_object_mut()) {
        map.insert("reason".to_owned(), reason.into());
        map.insert("message".to_owned(), message.into());
    }
    conditions.push(condition);
}
