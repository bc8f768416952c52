use serde_json::json;

use super::*;

fn lines(errors: Vec<FieldError>) -> Vec<String> {
    errors.into_iter().map(|error| error.to_string()).collect()
}

fn check(plural: &str, metadata: Value) -> Vec<String> {
    let registry = crate::builtin();
    lines(validate(
        registry.find("", "v1", plural).unwrap(),
        &json!({"metadata": metadata}),
    ))
}

#[test]
fn mistakes_in_metadata_are_named() {
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
        and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
        '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    for (plural, metadata, message) in [
        (
            "pods",
            json!({"namespace": "a"}),
            "metadata.name: Required value: name or generateName is required".to_owned(),
        ),
        (
            "pods",
            json!({"namespace": "a", "name": "Web_1"}),
            format!("metadata.name: Invalid value: \"Web_1\": {subdomain}"),
        ),
        (
            "pods",
            json!({"name": "a"}),
            "metadata.namespace: Required value".to_owned(),
        ),
        (
            "nodes",
            json!({"name": "a", "namespace": "b"}),
            "metadata.namespace: Forbidden: not allowed on this type".to_owned(),
        ),
        (
            "namespaces",
            json!({"name": "a.b"}),
            "metadata.name: Invalid value: \"a.b\": must not contain dots".to_owned(),
        ),
        (
            "nodes",
            json!({"name": "a", "annotations": {"a": "x".repeat(ANNOTATIONS_MAX)}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes".to_owned(),
        ),
        (
            "nodes",
            json!({"name": "a", "labels": {"a": "x".repeat(64)}}),
            format!(
                "metadata.labels: Invalid value: \"{}\": must be no more than 63 characters",
                "x".repeat(64)
            ),
        ),
        (
            "nodes",
            json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty".to_owned(),
        ),
    ] {
        assert_eq!(check(plural, metadata), [message]);
    }
}

#[test]
fn an_annotation_key_may_have_capitals_in_its_prefix_and_a_label_key_may_not() {
    assert!(
        check(
            "nodes",
            json!({"name": "a", "annotations": {"Example.com/x": ""}})
        )
        .is_empty()
    );
    assert_eq!(
        check("nodes", json!({"name": "a", "labels": {"Example.com/x": ""}})).len(),
        1
    );
}

#[test]
fn an_object_has_one_controller() {
    let owner =
        |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": true});
    let found = check(
        "nodes",
        json!({"name": "a", "ownerReferences": [owner("p"), owner("q")]}),
    );
    assert!(found[0].ends_with(
        "Only one reference can have Controller set to true. Found \"true\" in references for Pod/p and Pod/q"
    ));
}

#[test]
fn an_object_being_deleted_gets_no_new_finalizers() {
    let registry = crate::builtin();
    let resource = registry.find("", "v1", "nodes").unwrap();
    let old = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x.y/a"]}});
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!(["x.y/a", "x.y/b"]);
    assert_eq!(
        lines(validate_update(resource, &new, &old)),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
          finalizers []string{\"x.y/b\"}"
        ]
    );
    new["metadata"]["finalizers"] = json!([]);
    assert!(validate_update(resource, &new, &old).is_empty());
}

#[test]
fn names_never_change() {
    let registry = crate::builtin();
    let resource = registry.find("", "v1", "nodes").unwrap();
    let old = json!({"metadata": {"name": "a", "uid": "u"}});
    let new = json!({"metadata": {"name": "b", "uid": "u"}});
    assert_eq!(
        lines(validate_update(resource, &new, &old)),
        ["metadata.name: Invalid value: \"b\": field is immutable"]
    );
}

#[test]
fn a_finalizer_of_no_domain_is_warned_of_once() {
    let object = json!({"metadata": {"name": "a", "finalizers": ["mine", "x.y/z", "orphan"]}});
    assert_eq!(
        warnings(&object, None),
        [
            "metadata.finalizers: \"mine\": prefer a domain-qualified finalizer name including a path (/) to avoid \
          accidental conflicts with other finalizer writers"
        ]
    );
    assert!(warnings(&object, Some(&object)).is_empty());
}

#[test]
fn a_finalizer_of_a_built_in_kind_has_a_domain_or_is_known() {
    let registry = crate::builtin();
    let object =
        json!({"metadata": {"name": "a", "namespace": "b", "finalizers": ["orphan", "mine", "x.y/z"]}});
    let refused = "metadata.finalizers[1]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified";
    for (group, version, plural, expected) in [
        ("", "v1", "pods", &[refused][..]),
        ("apps", "v1", "deployments", &[refused]),
        ("coordination.k8s.io", "v1", "leases", &[]),
    ] {
        let resource = registry.find(group, version, plural).unwrap();
        assert_eq!(lines(validate(resource, &object)), expected, "{plural}");
        assert_eq!(
            lines(validate_update(resource, &object, &object)),
            expected,
            "{plural}"
        );
    }
}
