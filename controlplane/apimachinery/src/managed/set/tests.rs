use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn set(fields: Value) -> FieldSet {
    FieldSet::parse(&fields).unwrap()
}

#[test]
fn a_set_reads_back_as_it_was_written_and_equal_keys_become_one() {
    let written = json!({"f:spec": {".": {}, "f:ports": {
        "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}}, "f:list": {"v:\"a\"": {}, "v:1": {}}});
    assert_eq!(set(written.clone()).into_json(), written);
    let spelled = json!({"f:p": {"k:{ \"b\":1, \"a\":2 }": {"f:x": {}}, "k:{\"a\":2,\"b\":1}": {"f:y": {}}, "f:z": {".": {}}}});
    assert_eq!(
        set(spelled).into_json(),
        json!({"f:p": {"f:z": {}, "k:{\"a\":2,\"b\":1}": {"f:x": {}, "f:y": {}}}})
    );
}

#[test]
fn what_is_no_set_is_refused_by_its_key() {
    for bad in [
        json!({"spec": {}}),
        json!({"f:a": {"k:x": {}}}),
        json!({"k:{}": {}}),
        json!({"v:[1]": {}}),
        json!({"i:x": {}}),
        json!({"": {}}),
        json!({"ä": {}}),
    ] {
        assert!(
            matches!(FieldSet::parse(&bad), Err(FieldSetError::Element { .. })),
            "{bad}"
        );
    }
    assert_eq!(
        FieldSet::parse(&json!({"f:a": 1})),
        Err(FieldSetError::NotAnObject)
    );
    assert_eq!(FieldSet::parse(&json!([])), Err(FieldSetError::NotAnObject));
}

#[test]
fn subtracting_a_path_leaves_what_is_beneath_it_unless_all_is_asked_for() {
    let whole = || set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
    let a = FieldSet::of(&[["a"]]);
    let mut exact = whole();
    exact.subtract(&a);
    assert_eq!(exact.into_json(), json!({"f:a": {"f:b": {}}, "f:c": {}}));
    let mut all = whole();
    all.subtract_all(&a);
    assert_eq!(all.into_json(), json!({"f:c": {}}));
}

#[test]
fn paths_are_shown_as_conflicts_show_them_those_nearer_the_root_first() {
    let shown = set(json!({"f:spec": {"f:c": {"k:{\"name\":\"a\\\"b\",\"port\":80}": {".": {}, "f:image": {}}, "v:\"x\"": {}},
        "f:replicas": {}}}))
    .paths();
    let expected = [
        ".spec.replicas",
        ".spec.c[name=\"a\\\"b\",port=80]",
        ".spec.c[=\"x\"]",
        ".spec.c[name=\"a\\\"b\",port=80].image",
    ];
    assert_eq!(shown, expected);
}

/// Sets over few elements, so that they overlap.
fn any_set() -> impl Strategy<Value = FieldSet> {
    let leaf = Just(json!({}));
    let node = leaf.prop_recursive(3, 24, 4, |inner| {
        let key = prop_oneof![
            Just("f:a"),
            Just("f:b"),
            Just("v:1"),
            Just("k:{\"n\":1}"),
            Just(".")
        ];
        proptest::collection::btree_map(key, inner, 0..4).prop_map(|map| {
            Value::Object(
                map.into_iter()
                    .map(|(key, node)| (key.to_owned(), node))
                    .collect(),
            )
        })
    });
    node.prop_map(set)
}

/// The members of a set, each told by its path; what sets are compared with.
fn members(set: &FieldSet) -> std::collections::BTreeSet<String> {
    set.paths().into_iter().collect()
}

proptest! {
    #[test]
    fn operations_are_those_of_sets_of_paths(a in any_set(), b in any_set()) {
        let (left, right) = (members(&a), members(&b));
        let mut united = a.clone();
        united.unite(b.clone());
        prop_assert_eq!(members(&united), left.union(&right).cloned().collect());
        prop_assert_eq!(members(&a.common(&b)), left.intersection(&right).cloned().collect());
        let mut less = a.clone();
        less.subtract(&b);
        prop_assert_eq!(members(&less), left.difference(&right).cloned().collect());
        let mut far_less = a.clone();
        far_less.subtract_all(&b);
        let beneath = |path: &String| right.iter().any(|gone| {
            path.strip_prefix(gone.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
        prop_assert_eq!(members(&far_less), left.into_iter().filter(|path| !beneath(path)).collect());
    }

    #[test]
    fn every_result_is_in_the_one_form_in_which_equal_sets_are_equal(a in any_set(), b in any_set()) {
        let mut results = vec![a.clone(), a.common(&b)];
        for operation in [FieldSet::subtract, FieldSet::subtract_all] {
            let mut result = a.clone();
            operation(&mut result, &b);
            results.push(result);
        }
        let mut united = a;
        united.unite(b);
        results.push(united);
        for result in results {
            prop_assert_eq!(&FieldSet::parse(&result.clone().into_json()).unwrap(), &result);
        }
    }
}
