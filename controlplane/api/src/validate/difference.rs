//! What an update changes, for the message that refuses it.

use serde_json::{Map, Value};

/// Where two values differ, as lines `-path: old` and `+path: new`.
pub(crate) fn differences(old: &Value, new: &Value, path: &str, lines: &mut Vec<String>) {
    match (old, new) {
        (old, new) if old == new || (is_empty(old) && is_empty(new)) => {}
        (Value::Object(before), Value::Object(after)) => {
            let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let read = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&read(before), &read(after), &format!("{path}.{key}"), lines);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                differences(before, after, &format!("{path}[{index}]"), lines);
            }
        }
        (old, new) => {
            if !old.is_null() {
                lines.push(format!("-{path}: {old}"));
            }
            if !new.is_null() {
                lines.push(format!("+{path}: {new}"));
            }
        }
    }
}

/// Null, an empty list and an empty map say the same: upstream's types cannot tell them apart.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
