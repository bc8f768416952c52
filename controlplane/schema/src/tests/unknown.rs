use controlplane_apimachinery::schema::model::MAX_DEPTH;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::builtin;
use crate::sample::object_of;

#[test]
fn unknown_fields_are_named_as_strict_validation_prints_them() {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "foo": 1, "metadata": {"labels": {"any": "thing"}, "nam": "a"},
        "spec": {"replica": 1, "template": {"spec": {"containers": [{"name": "a"}, {"imagePullPolice": "x", "env": [{"nme": "A"}]}]}}}});
    let schema = builtin().kind("apps", "v1", "Deployment").expect("Deployment");
    let mut found = schema.unknown_fields(&object);
    found.sort();
    let expected = [
        "foo",
        "metadata.nam",
        "spec.replica",
        "spec.template.spec.containers[1].env[0].nme",
        "spec.template.spec.containers[1].imagePullPolice",
    ];
    assert_eq!(found, expected);
}

#[test]
fn field_names_are_told_apart_by_case() {
    let schema = builtin().kind("", "v1", "Pod").expect("Pod");
    assert_eq!(
        schema.unknown_fields(&json!({"Spec": {}, "spec": {"Containers": []}})),
        ["Spec", "spec.Containers"]
    );
}

#[test]
fn what_is_free_stays_free() {
    let object = json!({"metadata": {"managedFields": [{"fieldsV1": {"f:a": {"f:b": {}}}}]}, "data": {"any.thing": "x"}});
    let schema = builtin().kind("", "v1", "ConfigMap").expect("ConfigMap");
    assert_eq!(schema.unknown_fields(&object), Vec::<String>::new());
    let mut pruned = object.clone();
    schema.prune(&mut pruned);
    assert_eq!(pruned, object);
}

#[test]
fn pruning_treats_null_as_gos_decoder_does() {
    let mut pod = json!({"metadata": {"creationTimestamp": null, "labels": {"a": null}}, "foo": {"bar": 1},
        "spec": {"containers": [null, {"args": ["a", null], "resources": null}], "nodeSelector": null}});
    builtin().kind("", "v1", "Pod").expect("Pod").prune(&mut pod);
    let expected =
        json!({"metadata": {"labels": {"a": ""}}, "spec": {"containers": [{}, {"args": ["a", ""]}]}});
    assert_eq!(pod, expected);
}

/// A value nested `levels` deep under `fields`, without recursion.
fn nested(levels: usize, field: &str) -> Value {
    let mut value = json!({});
    for _ in 0..levels {
        value = json!({ field: value });
    }
    value
}

/// A table whose one type holds itself, as no built-in kind's does.
const ENDLESS: &str = "[a] pkg.a\nBox\n  @ v1 Box\n  in: Box\n  list: [Box]\n";

#[test]
fn depth_is_bounded() {
    let schemas = crate::Schemas::parse(ENDLESS, "").expect("table");
    let schema = schemas.kind("", "v1", "Box").expect("Box");
    let bomb = nested(MAX_DEPTH * 2, "in");
    assert_eq!(schema.check(&bomb).len(), 1);
    assert!(schema.unknown_fields(&bomb).is_empty());
    assert!(schema.missing(&bomb).is_empty());
    assert!(schema.strategic_merge(&bomb, &bomb).is_err());
    let mut pruned = bomb;
    schema.default(&mut pruned);
    schema.prune(&mut pruned);
    assert_eq!(
        schema.check(&pruned),
        Vec::new(),
        "nothing beyond the bound is left"
    );
}

proptest! {
    #[test]
    fn pruning_leaves_nothing_unknown((kind, object) in object_of(&["Pod", "Deployment", "Service", "CronJob", "Node", "Event"])) {
        let schema = kind.schema();
        let mut pruned = object;
        schema.prune(&mut pruned);
        prop_assert_eq!(schema.unknown_fields(&pruned), Vec::<String>::new());
        let mut again = pruned.clone();
        schema.prune(&mut again);
        prop_assert_eq!(again, pruned);
    }
}
