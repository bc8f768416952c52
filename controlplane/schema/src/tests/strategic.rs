use proptest::prelude::*;
use serde_json::{Value, json};

use crate::builtin;
use crate::sample::{object_of, two_objects_of};

fn merged(kind: &str, original: &Value, patch: &Value) -> Result<Value, String> {
    let schema = ["", "apps"]
        .iter()
        .find_map(|group| builtin().kind(group, "v1", kind))
        .expect("built-in kind");
    schema
        .strategic_merge(original, patch)
        .map_err(|error| error.to_string())
}

/// Merges within `spec` of a pod.
fn pod(original: Value, patch: Value) -> Value {
    let result = merged("Pod", &json!({ "spec": original }), &json!({ "spec": patch }));
    result.expect("a good patch")["spec"].clone()
}

fn pod_error(original: Value, patch: Value) -> String {
    merged("Pod", &json!({ "spec": original }), &json!({ "spec": patch })).expect_err("a bad patch")
}

#[test]
fn objects_are_merged_and_null_deletes() {
    let original =
        json!({"dnsPolicy": "Default", "nodeName": "n", "securityContext": {"runAsUser": 1, "fsGroup": 2}});
    let patch = json!({"nodeName": null, "hostname": null, "securityContext": {"fsGroup": 3, "runAsUser": null}, "priority": 1});
    let expected = json!({"dnsPolicy": "Default", "securityContext": {"fsGroup": 3}, "priority": 1});
    assert_eq!(pod(original, patch), expected);
}

#[test]
fn lists_are_merged_by_key_at_every_level() {
    let original = json!({"containers": [
        {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
        {"name": "b", "image": "2"}]});
    let patch = json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "3"}]}, {"name": "b", "image": "4"}]});
    let expected = json!({"containers": [
        {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}]},
        {"name": "b", "image": "4"}]});
    assert_eq!(pod(original, patch), expected);
}

#[test]
fn a_new_element_stands_before_those_the_patch_does_not_name() {
    let original = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let patch = json!({"containers": [{"name": "c", "image": "3"}]});
    let expected = json!({"containers": [{"name": "c", "image": "3"}, {"name": "a"}, {"name": "b"}]});
    assert_eq!(pod(original, patch), expected);
}

#[test]
fn atomic_lists_are_replaced() {
    let original = json!({"tolerations": [{"key": "a"}, {"key": "b"}], "containers": [{"name": "a", "args": ["1", "2"]}]});
    let patch = json!({"tolerations": [{"key": "c"}], "containers": [{"name": "a", "args": ["3"]}]});
    let expected = json!({"tolerations": [{"key": "c"}], "containers": [{"name": "a", "args": ["3"]}]});
    assert_eq!(pod(original, patch), expected);
}

#[test]
fn maps_are_merged() {
    let original = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
    let patch = json!({"metadata": {"labels": {"a": null, "c": "3"}, "annotations": {"x": "y", "z": null}}});
    let expected = json!({"metadata": {"labels": {"b": "2", "c": "3"}, "annotations": {"x": "y"}}});
    assert_eq!(merged("Pod", &original, &patch), Ok(expected));
}

#[test]
fn patch_replace_takes_the_object_or_list_as_it_is() {
    let original = json!({"securityContext": {"runAsUser": 1}, "containers": [{"name": "a"}, {"name": "b"}]});
    let patch = json!({"securityContext": {"$patch": "replace", "fsGroup": 2},
        "containers": [{"name": "c"}, {"$patch": "replace"}]});
    let expected = json!({"securityContext": {"fsGroup": 2}, "containers": [{"name": "c"}]});
    assert_eq!(pod(original, patch), expected);
    let emptied = pod(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [{"$patch": "replace"}]}),
    );
    assert_eq!(emptied, json!({"containers": []}));
}

#[test]
fn patch_delete_removes_an_element_or_empties_an_object() {
    let original = json!({"containers": [{"name": "a"}, {"name": "b"}], "securityContext": {"runAsUser": 1}});
    let patch =
        json!({"containers": [{"name": "a", "$patch": "delete"}], "securityContext": {"$patch": "delete"}});
    assert_eq!(
        pod(original, patch),
        json!({"containers": [{"name": "b"}], "securityContext": {}})
    );
}

#[test]
fn directives_never_enter_the_object() {
    let patch = json!({"securityContext": {"$patch": "replace", "fsGroup": 1}, "dnsConfig": {"$patch": "delete"},
        "containers": [{"name": "a", "$setElementOrder/env": [{"name": "X"}], "env": [{"name": "X", "value": null}]},
            {"name": "b", "$patch": "delete"}],
        "$setElementOrder/volumes": [{"name": "v"}], "volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}],
        "$deleteFromPrimitiveList/x": ["a"]});
    let expected = json!({"securityContext": {"fsGroup": 1}, "containers": [{"name": "a", "env": [{"name": "X"}]}],
        "volumes": [{"name": "v", "emptyDir": {}}]});
    assert_eq!(pod(json!({}), patch.clone()), expected);
    let containers = json!({"containers": [{"name": "z"}]});
    assert_eq!(
        pod(containers, patch)["containers"],
        json!([{"name": "a", "env": [{"name": "X"}]}, {"name": "z"}])
    );
}

#[test]
fn retain_keys_clears_what_it_does_not_name() {
    let original = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(
        merged("Deployment", &original, &patch),
        Ok(json!({"spec": {"strategy": {"type": "Recreate"}}}))
    );
    let volumes = json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]});
    let patch =
        json!({"volumes": [{"name": "a", "hostPath": {"path": "/"}, "$retainKeys": ["name", "hostPath"]}]});
    let expected =
        json!({"volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "emptyDir": {}}]});
    assert_eq!(pod(volumes, patch), expected);
}

#[test]
fn set_element_order_puts_elements_in_their_places() {
    let table = [
        // Only the order changes.
        (
            json!(["a", "b", "c"]),
            json!(["c", "a", "b"]),
            json!([]),
            json!(["c", "a", "b"]),
        ),
        // The server's own element stays before what it stood before.
        (
            json!(["a", "server", "b"]),
            json!(["a", "b", "c"]),
            json!(["c"]),
            json!(["a", "server", "b", "c"]),
        ),
        (
            json!(["server", "a"]),
            json!(["b", "a"]),
            json!(["b"]),
            json!(["b", "server", "a"]),
        ),
        (json!([]), json!(["b", "a"]), json!(["b", "a"]), json!(["b", "a"])),
    ];
    let named = |names: &Value| -> Value {
        names
            .as_array()
            .into_iter()
            .flatten()
            .map(|n| json!({ "name": n }))
            .collect()
    };
    for (server, order, patch, expected) in table {
        let mut changes = json!({"$setElementOrder/containers": named(&order)});
        if patch != json!([]) {
            changes["containers"] = named(&patch);
        }
        let result = pod(json!({"containers": named(&server)}), changes);
        assert_eq!(result["containers"], named(&expected), "{server} ordered {order}");
    }
}

#[test]
fn kubectls_patch_of_an_edited_deployment_applies() {
    let original = json!({"spec": {"template": {"spec": {
        "containers": [{"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {}},
            {"name": "old", "image": "x"}], "volumes": [{"name": "v", "configMap": {"name": "c", "defaultMode": 420}}]}}}});
    let patch = json!({"spec": {"template": {"spec": {
        "$setElementOrder/containers": [{"name": "sidecar"}, {"name": "web"}],
        "containers": [{"name": "sidecar", "image": "s"}, {"name": "web", "image": "nginx:2",
            "$setElementOrder/ports": [{"containerPort": 80}, {"containerPort": 443}], "ports": [{"containerPort": 443}]},
            {"$patch": "delete", "name": "old"}],
        "$setElementOrder/volumes": [{"name": "v"}],
        "volumes": [{"$retainKeys": ["emptyDir", "name"], "configMap": null, "emptyDir": {}, "name": "v"}]}}}});
    let expected = json!({"spec": {"template": {"spec": {
        "containers": [{"name": "sidecar", "image": "s"},
            {"name": "web", "image": "nginx:2", "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 443}], "resources": {}}],
        "volumes": [{"name": "v", "emptyDir": {}}]}}}});
    assert_eq!(merged("Deployment", &original, &patch), Ok(expected));
}

#[test]
fn lists_of_scalars_are_united_and_deleted_from() {
    let finalizers = |original: Value, patch: Value| {
        let result = merged(
            "Pod",
            &json!({ "metadata": original }),
            &json!({ "metadata": patch }),
        );
        result.expect("a good patch")["metadata"]["finalizers"].clone()
    };
    let three = json!({"finalizers": ["a", "b", "c"]});
    assert_eq!(
        finalizers(three.clone(), json!({"finalizers": ["d", "b"]})),
        json!(["d", "a", "b", "c"])
    );
    assert_eq!(
        finalizers(
            three.clone(),
            json!({"$deleteFromPrimitiveList/finalizers": ["b", "x"]})
        ),
        json!(["a", "c"])
    );
    let both = json!({"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["d", "c", "b"], "finalizers": ["d"]});
    assert_eq!(finalizers(three, both), json!(["d", "c", "b"]));
    assert_eq!(
        finalizers(json!({}), json!({"$deleteFromPrimitiveList/finalizers": ["b"]})),
        Value::Null
    );
}

#[test]
fn bad_patches_are_refused_in_upstreams_words() {
    let containers = json!({"containers": [{"name": "a"}]});
    let table = [
        (
            json!({"containers": [{"image": "x"}]}),
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({"containers": [{"$patch": "delete"}]}),
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            json!({"containers": [{"name": "a", "$patch": "merge"}]}),
            "merging lists cannot yet be specified in the patch",
        ),
        (
            json!({"containers": [{"name": "a", "$patch": "swap"}]}),
            "unknown patch type: swap in map: map[$patch:swap name:a]",
        ),
        (
            json!({"containers": ["a"]}),
            "list element types are not identical: containers",
        ),
        (
            json!({"$patch": "swap"}),
            "unknown patch type: swap in map: map[$patch:swap]",
        ),
        (json!({"$retainKeys": "a"}), "invalid patch format of retainKeys"),
        (
            json!({"$retainKeys": ["a"], "nodeName": "b"}),
            "patch content doesn't match retainKeys list",
        ),
        (
            json!({"$setElementOrder/containers": "a"}),
            "expected a list in $setElementOrder/containers, but received string",
        ),
        (
            json!({"$deleteFromPrimitiveList/containers": {}}),
            "expected a list in $deleteFromPrimitiveList/containers, but received object",
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a"}, {"name": "b"}]}),
            "The order in patch list:\n[map[name:a] map[name:b]]\n doesn't match $setElementOrder list:\n\
             [map[name:b] map[name:a]]\n",
        ),
    ];
    for (patch, expected) in table {
        assert_eq!(pod_error(containers.clone(), patch.clone()), expected, "{patch}");
    }
    assert_eq!(
        merged("Pod", &json!({}), &json!([])),
        Err("a strategic merge patch must be a JSON object, but received array".to_owned())
    );
}

#[test]
fn long_lists_are_merged_in_reasonable_time() {
    let names =
        |from: usize| -> Vec<String> { (from..from + 20_000).map(|place| format!("f{place}")).collect() };
    let original = json!({"metadata": {"finalizers": names(0)}});
    let patch = json!({"metadata": {"finalizers": names(10_000)}});
    let result = merged("Pod", &original, &patch).expect("a good patch");
    assert_eq!(
        result["metadata"]["finalizers"].as_array().map(Vec::len),
        Some(30_000)
    );
}

/// Objects with `spec.containers` of given names, each with a field.
fn containers() -> impl Strategy<Value = Vec<(String, u8)>> {
    proptest::collection::btree_map("[a-f]", 0_u8..3, 0..5)
        .prop_map(|map| map.into_iter().collect())
        .prop_shuffle()
}

fn spec_of(containers: &[(String, u8)]) -> Value {
    containers
        .iter()
        .map(|(name, image)| json!({ "name": name, "image": image.to_string() }))
        .collect()
}

/// A list of scalars that is merged is a set: `value` with each scalar once in each list.
fn distinct(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, distinct(value)))
            .collect(),
        Value::Array(list) => {
            let mut kept: Vec<Value> = Vec::new();
            for element in list.into_iter().map(distinct) {
                if element.is_object() || !kept.contains(&element) {
                    kept.push(element);
                }
            }
            kept.into()
        }
        scalar => scalar,
    }
}

proptest! {
    #[test]
    fn a_difference_applied_gives_what_it_was_made_from(from in containers(), to in containers()) {
        let (from, to) = (spec_of(&from), spec_of(&to));
        let pod = builtin().kind("", "v1", "Pod").expect("built-in kind");
        let object = |containers: &Value| json!({"spec": {"containers": containers}});
        let patch = pod.strategic_diff(&object(&from), &object(&to));
        let result = pod.strategic_merge(&object(&from), &patch);
        prop_assert_eq!(result, Ok(object(&to)));
    }

    #[test]
    fn a_difference_of_whole_objects_makes_one_of_the_other((kind, from, to) in two_objects_of(&["Pod", "Deployment", "Service", "Node"])) {
        let schema = kind.schema();
        let (from, to) = (distinct(from), distinct(to));
        let patch = schema.strategic_diff(&from, &to);
        prop_assert_eq!(schema.strategic_merge(&from, &patch), Ok(to), "{}", patch);
    }

    #[test]
    fn a_patch_brings_no_null_into_the_object((kind, patch) in object_of(&["Pod", "Deployment", "Service"])) {
        let merged = kind.schema().strategic_merge(&json!({}), &patch);
        prop_assert!(merged.is_ok_and(|merged| !merged.to_string().contains("null")));
    }

    #[test]
    fn an_empty_patch_changes_nothing((kind, object) in object_of(&["Pod", "Deployment", "Node"])) {
        prop_assert_eq!(kind.schema().strategic_merge(&object, &json!({})), Ok(object));
    }
}
