//! The difference between two statuses, as a strategic merge patch.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// The patch of `/status` that turns `old` into `new`; none where they are equal.
///
/// Only what changed is in it, so that it loses no write of others; it carries the UID, so that it never
/// touches a successor of the same name. Conditions merge by `type`; lists of addresses are replaced.
#[must_use]
pub fn status_patch(uid: &str, old: Option<&PodStatus>, new: &PodStatus) -> Option<Value> {
    let fields = |status: Option<&PodStatus>| match status.map(serde_json::to_value) {
        Some(Ok(Value::Object(fields))) => fields,
        _ => Map::new(),
    };
    let (before, after) = (fields(old), fields(Some(new)));
    let mut changed: Map<String, Value> = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), change(name, value, before.get(name))))
        .collect();
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    changed.extend(removed.map(|name| (name.clone(), Value::Null)));
    (!changed.is_empty()).then(|| json!({"metadata": {"uid": uid}, "status": changed}))
}

fn change(name: &str, value: &Value, before: Option<&Value>) -> Value {
    match (name, value) {
        ("conditions", Value::Array(now)) => {
            let old = before.and_then(Value::as_array);
            let moved = now
                .iter()
                .filter(|item| !old.is_some_and(|old| old.contains(item)));
            let moved = moved.map(|item| without_stale_words(item, old));
            Value::Array(moved.chain(removed_conditions(now, old)).collect())
        }
        ("podIPs" | "hostIPs", Value::Array(now)) => {
            let replace = before.map(|_| json!({"$patch": "replace"}));
            Value::Array(now.iter().cloned().chain(replace).collect())
        }
        _ => value.clone(),
    }
}

/// What takes the conditions of `old` away that are not there `now`.
fn removed_conditions(now: &[Value], old: Option<&Vec<Value>>) -> Vec<Value> {
    let kind = |item: &Value| item.get("type").cloned();
    let kinds: Vec<Option<Value>> = now.iter().map(kind).collect();
    let gone = old
        .into_iter()
        .flatten()
        .filter(|item| !kinds.contains(&kind(item)));
    gone.map(|item| json!({"$patch": "delete", "type": kind(item)}))
        .collect()
}

/// A merged condition keeps what the patch does not name: a reason that no longer holds is nulled.
fn without_stale_words(item: &Value, old: Option<&Vec<Value>>) -> Value {
    let mut item = item.clone();
    let before = old.and_then(|old| old.iter().find(|other| other.get("type") == item.get("type")));
    if let (Some(before), Some(fields)) = (before.and_then(Value::as_object), item.as_object_mut()) {
        for name in before.keys() {
            fields.entry(name.clone()).or_insert(Value::Null);
        }
    }
    item
}
