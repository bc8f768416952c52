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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 7386, appendix A.
    #[test]
    fn merge_patch_passes_the_table_of_its_rfc() {
        let table = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ];
        for (original, patch, expected) in table {
            let mut merged = original.clone();
            merge_patch(&mut merged, &patch);
            assert_eq!(merged, expected, "{original} with {patch}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3).prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    /// The pseudo-code of RFC 7386, section 2.
    fn reference(target: Value, patch: &Value) -> Value {
        let Value::Object(changes) = patch else {
            return patch.clone();
        };
        let mut fields = if let Value::Object(fields) = target {
            fields
        } else {
            Map::new()
        };
        for (name, change) in changes {
            match fields.remove(name) {
                _ if change.is_null() => {}
                current => drop(fields.insert(name.clone(), reference(current.unwrap_or_default(), change))),
            }
        }
        Value::Object(fields)
    }

    proptest! {
        #[test]
        fn merge_patch_does_what_the_rfcs_pseudo_code_does(target in any_json(), patch in any_json()) {
            let mut merged = target.clone();
            merge_patch(&mut merged, &patch);
            prop_assert_eq!(merged, reference(target, &patch));
        }
    }
}
