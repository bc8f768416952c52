//! Reading members of objects, where what is absent or of another type reads as empty.

use serde_json::Value;

use crate::resource::at;

/// The text at a dotted path, or the empty one.
pub fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a dotted path.
pub fn integer(object: &Value, path: &str) -> Option<i64> {
    at(object, path).and_then(Value::as_i64)
}

/// The number at a dotted path, or 0.
pub fn count(object: &Value, path: &str) -> i64 {
    integer(object, path).unwrap_or_default()
}

/// Whether the flag at a dotted path is set.
pub fn flag(object: &Value, path: &str) -> bool {
    at(object, path).and_then(Value::as_bool).unwrap_or_default()
}

/// The items of the list at a dotted path.
pub fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The texts in the list at a dotted path.
pub fn texts<'a>(object: &'a Value, path: &str) -> Vec<&'a str> {
    list(object, path).iter().filter_map(Value::as_str).collect()
}

/// The entries of the map at a dotted path.
pub fn map<'a>(object: &'a Value, path: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    at(object, path).and_then(Value::as_object).into_iter().flatten()
}

/// Whether something is at a dotted path that is not null.
pub fn present(object: &Value, path: &str) -> bool {
    at(object, path).is_some_and(|value| !value.is_null())
}

/// The condition of this type in `status.conditions`.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "status.conditions")
        .iter()
        .find(|condition| text(condition, "type") == kind)
}
