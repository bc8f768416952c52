use proptest::prelude::*;
use serde_json::json;

use super::super::tests::any_json;
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
