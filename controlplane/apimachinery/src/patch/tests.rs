use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::ApiError;

fn patched(object: &Value, patch: &Value) -> Result<Value, String> {
    let patch = JsonPatch::parse(patch.to_string().as_bytes()).map_err(|error| error.to_string())?;
    patch.apply(object).map_err(|error| error.to_string())
}

/// RFC 6902, appendix A, and what Kubernetes adds.
#[test]
fn json_patch_passes_the_examples_of_its_rfc() {
    let examples: Vec<[Value; 3]> = serde_json::from_str(include_str!("json/examples.json")).unwrap();
    for [object, patch, expected] in examples {
        assert_eq!(patched(&object, &patch), Ok(expected), "{object} with {patch}");
    }
}

#[test]
fn what_does_not_apply_is_refused_and_said() {
    let object = json!({"a": [1], "b": {"c": 1}});
    let table = [
        (
            json!([{"op": "test", "path": "/b/c", "value": "1"}]),
            "testing value /b/c failed",
        ),
        (
            json!([{"op": "add", "path": "/x/y", "value": 1}]),
            "add operation does not apply: nothing is at /x/y",
        ),
        (
            json!([{"op": "remove", "path": "/b/d"}]),
            "remove operation does not apply: nothing is at /b/d",
        ),
        (
            json!([{"op": "remove", "path": ""}]),
            "remove operation does not apply: nothing is at ",
        ),
        (
            json!([{"op": "replace", "path": "/b/d", "value": 1}]),
            "replace operation does not apply: nothing is at /b/d",
        ),
        (
            json!([{"op": "add", "path": "/a/2", "value": 1}]),
            "add operation does not apply: /a/2 ends in no index of the list",
        ),
        (
            json!([{"op": "add", "path": "/a/01", "value": 1}]),
            "add operation does not apply: /a/01 ends in no index of the list",
        ),
        (
            json!([{"op": "remove", "path": "/a/-2"}]),
            "remove operation does not apply: /a/-2 ends in no index of the list",
        ),
        (
            json!([{"op": "remove", "path": "/a/-0"}]),
            "remove operation does not apply: /a/-0 ends in no index of the list",
        ),
        (
            json!([{"op": "move", "from": "/b", "path": "/b/c/d"}]),
            "move operation does not apply: /b/c/d is inside of what is moved",
        ),
        (
            json!([{"op": "copy", "from": "/x", "path": "/y"}]),
            "copy operation does not apply: nothing is at /x",
        ),
    ];
    for (patch, expected) in table {
        assert_eq!(patched(&object, &patch), Err(expected.to_owned()), "{patch}");
    }
}

#[test]
fn what_is_no_patch_is_refused_and_said() {
    let table = [
        (json!({}), "error decoding patch: it must be a list of operations"),
        (json!([1]), "error decoding patch: operation 0 is no object"),
        (
            json!([{"op": "add"}]),
            "error decoding patch: operation 0 lacks a path",
        ),
        (
            json!([{"op": "remove", "path": "a"}]),
            "error decoding patch: operation 0 has a path that is no JSON pointer",
        ),
        (
            json!([{"op": "remove", "path": "/a"}, {"op": "x", "path": "/a"}]),
            "error decoding patch: operation 1 is of no known kind",
        ),
        (
            json!([{"op": "move", "path": "/a"}]),
            "error decoding patch: operation 0 lacks a path",
        ),
    ];
    for (patch, expected) in table {
        assert_eq!(patched(&json!({}), &patch), Err(expected.to_owned()), "{patch}");
    }
    let long = Value::from(vec![
        json!({"op": "test", "path": "/a", "value": null});
        MAX_OPERATIONS + 1
    ]);
    let error = JsonPatch::parse(long.to_string().as_bytes()).unwrap_err();
    assert_eq!(ApiError::from(error).code(), 413);
}

#[test]
fn copies_that_double_an_object_again_and_again_are_given_up() {
    let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    let patch = Value::from(vec![double; 100]).to_string();
    let object = json!({"a": ["x".repeat(1000)]});
    let error = JsonPatch::parse(patch.as_bytes())
        .unwrap()
        .apply(&object)
        .unwrap_err();
    assert!(
        matches!(error, JsonPatchError::TooDeep | JsonPatchError::TooMuch { .. }),
        "{error}"
    );
    let flat = json!({"op": "copy", "from": "/a", "path": "/b/-"});
    let patch = Value::from(vec![flat; 4000]).to_string();
    let object = json!({"a": "x".repeat(1000), "b": []});
    let error = JsonPatch::parse(patch.as_bytes())
        .unwrap()
        .apply(&object)
        .unwrap_err();
    assert!(matches!(error, JsonPatchError::TooMuch { .. }), "{error}");
}

#[test]
fn nothing_is_nested_deeper_than_what_is_read() {
    let step = json!({"op": "add", "path": format!("/a{}", "/a".repeat(100)), "value": {"a": {"a": {}}}});
    let inner = (0..101).fold(json!({}), |inner, _| json!({"a": inner}));
    assert!(patched(&inner, &json!([step])).is_ok());
    let deep = (0..60).fold(json!({}), |inner, _| json!({"a": inner}));
    let far = json!([{"op": "replace", "path": format!("/a{}", "/a".repeat(90)), "value": deep}]);
    assert_eq!(
        patched(&inner, &far),
        Err("the object would be nested more than 128 levels deep".to_owned())
    );
}

#[test]
fn patches_that_do_not_fit_answer_as_upstreams() {
    let bad = |media_type, bytes: &[u8]| ApiError::from(Patch::parse(media_type, bytes).unwrap_err());
    assert_eq!(bad("text/plain", b"{}").code(), 415);
    assert_eq!(
        bad(MERGE, b"[]").to_string(),
        "error decoding patch: it must be a JSON object"
    );
    assert_eq!(
        bad(STRATEGIC, b"{").to_string(),
        "error decoding patch: json parse error: unexpected end of JSON input"
    );
    let (patch, _) = Patch::parse(JSON, br#"[{"op":"remove","path":"/a"}]"#).unwrap();
    let error = ApiError::from(patch.apply(None, &json!({})).unwrap_err());
    assert_eq!(
        (error.code(), error.to_string()),
        (
            422,
            "the server rejected our request due to an error in our request".to_owned()
        )
    );
    let (patch, _) = Patch::parse(STRATEGIC, b"{}").unwrap();
    assert_eq!(
        ApiError::from(patch.apply(None, &json!({})).unwrap_err()).code(),
        415
    );
}

pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3).prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-c/~]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// `value` without what a merge patch cannot say.
pub(super) fn without_null(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name, without_null(value))).collect()
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn a_json_patch_between_two_values_makes_one_of_the_other(from in any_json(), to in any_json()) {
        let patch = JsonPatch::between(&from, &to);
        prop_assert_eq!(patch.apply(&from), Ok(to));
        // And it is the same after a way over the wire.
        let sent = JsonPatch::parse(patch.to_json().to_string().as_bytes()).unwrap();
        prop_assert_eq!(sent, patch);
    }

    #[test]
    fn a_merge_patch_between_two_values_makes_one_of_the_other(from in any_json(), to in any_json()) {
        let to = without_null(to);
        let mut patched = from.clone();
        merge_patch(&mut patched, &merge_diff(&from, &to));
        prop_assert_eq!(patched, to);
    }

    #[test]
    fn nothing_between_a_value_and_itself(value in any_json()) {
        prop_assert!(JsonPatch::between(&value, &value).operations().is_empty());
        if value.is_object() {
            prop_assert_eq!(merge_diff(&value, &value), json!({}));
        }
    }
}
