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

/// The merge patch that makes `to` of `from`.
///
/// A patch cannot set `null`, nor a list's element: a `null` in `to` is as if it were absent, lists are taken whole.
#[must_use]
pub fn merge_diff(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let gone = from.keys().filter(|name| !to.contains_key(*name));
    let mut patch: Map<String, Value> = gone.map(|name| (name.clone(), Value::Null)).collect();
    for (name, wanted) in to {
        match from.get(name) {
            Some(current) if current == wanted => {}
            Some(current) => drop(patch.insert(name.clone(), merge_diff(current, wanted))),
            None => drop(patch.insert(name.clone(), wanted.clone())),
        }
    }
    Value::Object(patch)
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

#[cfg(test)]
mod tests;
