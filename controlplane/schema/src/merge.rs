//! JSON merge patch.

use serde_json::{Map, Value};

/// Applies `patch` to `target` as a JSON merge patch (RFC 7386, section 2).
///
/// Works on a list of places still to merge instead of recursing, so that no depth of nesting can
/// exhaust the stack.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let mut pending = vec![(target, patch)];
    while let Some((place, patch)) = pending.pop() {
        let Value::Object(changes) = patch else {
            *place = patch.clone();
            continue;
        };
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        if let Value::Object(fields) = place {
            prepare(fields, changes);
            pending.extend(
                fields
                    .iter_mut()
                    .filter_map(|(name, field)| match changes.get(name) {
                        Some(change) if !change.is_null() => Some((field, change)),
                        _ => None,
                    }),
            );
        }
    }
}

/// Removes the fields that `changes` deletes and makes room for those it adds.
fn prepare(fields: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else if !fields.contains_key(name) {
            fields.insert(name.clone(), Value::Null);
        }
    }
}
