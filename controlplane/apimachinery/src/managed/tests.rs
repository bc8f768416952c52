mod model;
mod server;

use serde_json::{Value, json};

use super::*;
use crate::error::ApiError;
use server::{Server, a_box, owners, times};

#[test]
fn a_create_gives_its_fields_to_its_manager_in_the_form_that_kubernetes_stores() {
    let server = Server::new();
    let mut object = a_box(
        json!({"replicas": 1, "ports": [{"number": 80, "name": "web"}], "strategy": {"type": "x"},
        "owner": {"name": "a"}, "args": ["1"], "template": {"names": ["n"]}}),
    );
    object["metadata"]["labels"] = json!({"app": "b"});
    object["metadata"]["uid"] = json!("u");
    object["status"] = json!({"phase": "x"});
    let created = server.update(None, "tool", &object);
    let expected = json!([{"manager": "tool", "operation": "Update", "apiVersion": "t.io/v1",
        "time": "2026-01-02T03:04:05Z", "fieldsType": "FieldsV1", "fieldsV1": {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:args": {}, "f:owner": {}, "f:replicas": {}, "f:strategy": {".": {}, "f:type": {}},
            "f:ports": {".": {}, "k:{\"number\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:number": {}}},
            "f:template": {"f:names": {"v:\"n\"": {}}}}}}]);
    assert_eq!(created["metadata"]["managedFields"], expected);
}

#[test]
fn an_update_takes_what_it_changes_and_forgets_what_it_removes() {
    let mut server = Server::new();
    let created = server.update(
        None,
        "a",
        &a_box(json!({"replicas": 1, "args": ["1"], "items": [{"name": "i", "image": "1"}]})),
    );
    server.later();
    let mut new = created.clone();
    new["spec"] = json!({"replicas": 2, "items": [{"name": "i", "image": "2"}]});
    let updated = server.update(Some(&created), "b", &new);
    assert_eq!(
        owners(&updated),
        [
            "a Update: .spec.items .spec.items[name=\"i\"] .spec.items[name=\"i\"].name",
            "b Update: .spec.replicas .spec.items[name=\"i\"].image"
        ]
    );
    assert_eq!(times(&updated), ["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"]);
}

#[test]
fn an_update_that_changes_nothing_leaves_owners_and_times_alone() {
    let mut server = Server::new();
    let created = server.update(None, "a", &a_box(json!({"replicas": 1})));
    server.later();
    assert_eq!(server.update(Some(&created), "b", &created), created);
    let mut bare = created.clone();
    meta::remove(&mut bare, "managedFields");
    assert_eq!(server.update(Some(&created), "b", &bare), created);
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let mut server = Server::new();
    let config = a_box(json!({"replicas": 1, "items": [{"name": "i", "image": "1"}]}));
    let first = server.apply(None, "a", &config).unwrap();
    server.later();
    assert_eq!(server.apply(Some(&first), "a", &config).unwrap(), first);
}

#[test]
fn what_another_owns_with_another_value_is_a_conflict_in_upstreams_words() {
    let server = Server::new();
    let first = server
        .apply(
            None,
            "a",
            &a_box(json!({"replicas": 1, "items": [{"name": "i", "image": "1"}]})),
        )
        .unwrap();
    let one = server
        .apply(Some(&first), "b", &a_box(json!({"replicas": 2})))
        .unwrap_err();
    assert_eq!(
        one.to_string(),
        "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas"
    );
    let config = a_box(json!({"replicas": 2, "items": [{"name": "i", "image": "2"}]}));
    let two = server.apply(Some(&first), "b", &config).unwrap_err();
    assert_eq!(
        two.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.replicas\n- .spec.items[name=\"i\"].image"
    );
    let mut changed = first.clone();
    changed["spec"]["replicas"] = json!(5);
    let changed = server.update(Some(&first), "kubectl-edit", &changed);
    let error = ApiError::from(
        server
            .apply(Some(&changed), "a", &a_box(json!({"replicas": 1})))
            .unwrap_err(),
    );
    assert_eq!(
        serde_json::to_value(error.status()).unwrap(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Conflict", "code": 409,
            "message": "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using t.io/v1: .spec.replicas",
            "details": {"causes": [{"reason": "FieldManagerConflict", "field": ".spec.replicas",
                "message": "conflict with \"kubectl-edit\" using t.io/v1"}]}})
    );
}

#[test]
fn force_takes_the_field_and_the_same_value_is_shared() {
    let server = Server::new();
    let first = server
        .apply(None, "a", &a_box(json!({"replicas": 1, "args": ["x"]})))
        .unwrap();
    let shared = server
        .apply(Some(&first), "b", &a_box(json!({"replicas": 1})))
        .unwrap();
    assert_eq!(
        owners(&shared),
        ["a Apply: .spec.args .spec.replicas", "b Apply: .spec.replicas"]
    );
    let forced = server.force(&shared, "b", &a_box(json!({"replicas": 2})));
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(
        owners(&forced),
        ["a Apply: .spec.args", "b Apply: .spec.replicas"]
    );
}

#[test]
fn what_is_no_longer_applied_goes_unless_another_owns_it() {
    let server = Server::new();
    let config = a_box(
        json!({"replicas": 1, "args": ["x"], "items": [{"name": "i", "image": "1"}, {"name": "j"}], "strategy": {"limits": {"cpu": "1", "memory": "2"}}}),
    );
    let first = server.apply(None, "a", &config).unwrap();
    let second = server
        .apply(
            Some(&first),
            "b",
            &a_box(json!({"items": [{"name": "i"}], "replicas": 1})),
        )
        .unwrap();
    let third = server
        .apply(
            Some(&second),
            "a",
            &a_box(json!({"strategy": {"limits": {"cpu": "1"}}})),
        )
        .unwrap();
    assert_eq!(
        third["spec"],
        json!({"replicas": 1, "items": [{"name": "i"}], "strategy": {"limits": {"cpu": "1"}}})
    );
    let fourth = server
        .apply(Some(&third), "a", &a_box(json!({"strategy": {"limits": {}}})))
        .unwrap();
    // What has lost all that it had is gone itself, but for what is wanted to be empty.
    assert_eq!(fourth["spec"]["strategy"], json!({"limits": {}}));
}

#[test]
fn an_entry_that_nobody_owns_survives_when_its_map_is_given_up() {
    let server = Server::new();
    let mut config = a_box(json!({"replicas": 1}));
    config["metadata"]["labels"] = json!({"mine": "1"});
    let first = server.apply(None, "a", &config).unwrap();
    let mut labelled = first.clone();
    labelled["metadata"]["labels"]["theirs"] = json!("2");
    let labelled = server.update(Some(&first), "kubectl-label", &labelled);
    let second = server
        .apply(Some(&labelled), "a", &a_box(json!({"replicas": 1})))
        .unwrap();
    assert_eq!(second["metadata"]["labels"], json!({"theirs": "2"}));
}

#[test]
fn sets_are_owned_by_value_and_keyed_lists_merge_in_the_order_applied() {
    let server = Server::new();
    let mut config = a_box(json!({"items": [{"name": "a"}, {"name": "c"}]}));
    config["metadata"]["finalizers"] = json!(["x/one"]);
    let first = server.apply(None, "a", &config).unwrap();
    let mut other = a_box(json!({"items": [{"name": "c", "image": "3"}, {"name": "b"}]}));
    other["metadata"]["finalizers"] = json!(["x/two"]);
    let second = server.apply(Some(&first), "b", &other).unwrap();
    assert_eq!(second["metadata"]["finalizers"], json!(["x/one", "x/two"]));
    assert_eq!(
        second["spec"]["items"],
        json!([{"name": "a"}, {"name": "c", "image": "3"}, {"name": "b"}])
    );
    let mut gone = a_box(json!({"items": [{"name": "b"}]}));
    gone["metadata"]["finalizers"] = json!([]);
    let third = server.apply(Some(&second), "b", &gone).unwrap();
    assert_eq!(third["metadata"]["finalizers"], json!(["x/one"]));
    assert_eq!(
        third["spec"]["items"],
        json!([{"name": "a"}, {"name": "c"}, {"name": "b"}])
    );
}

#[test]
fn status_and_the_object_itself_have_owners_of_their_own() {
    let server = Server::new();
    let created = server.update(None, "a", &a_box(json!({"replicas": 1})));
    let mut new = created.clone();
    new["status"] = json!({"phase": "Ready"});
    new["spec"]["replicas"] = json!(7);
    new["metadata"]["managedFields"] = json!([{}]);
    server
        .writer("controller", "status")
        .update(Some(&created), &mut new);
    assert_eq!(
        owners(&new),
        [
            "a Update: .spec.replicas",
            "controller Update/status: .status.phase"
        ]
    );
}

#[test]
fn a_config_that_does_not_fit_is_refused_in_upstreams_words() {
    let server = Server::new();
    let refused = |spec| server.apply(None, "a", &a_box(spec)).unwrap_err().to_string();
    let table = [
        (json!({"no": 1}), ".spec.no: field not declared in schema"),
        (
            json!({"replicas": "x"}),
            ".spec.replicas: expected numeric (int or float), got string",
        ),
        (
            json!({"items": {"a": 1}}),
            ".spec.items: expected list, got &{map[a:1]}",
        ),
        (json!({"owner": "x"}), ".spec.owner: expected map, got &{x}"),
        (
            json!({"items": [{"image": "x"}]}),
            ".spec.items: element 0: associative list with keys has an element that omits all key fields [\"name\"] (and doesn't have default values for any key fields)",
        ),
        (
            json!({"items": [{"name": "a"}, {"name": "a"}]}),
            ".spec.items: duplicate entries for key [name=\"a\"]",
        ),
        (
            json!({"items": [{"name": "a", "image": 1}]}),
            ".spec.items[name=\"a\"].image: expected string, got &value.valueUnstructured{Value:1}",
        ),
    ];
    for (spec, detail) in table {
        assert_eq!(
            refused(spec),
            format!("failed to create typed patch object (d/b; t.io/v1, Kind=Box): {detail}")
        );
    }
    let several = refused(json!({"a": 1, "b": 2}));
    assert!(several.ends_with("Kind=Box): errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema"), "{several}");
    let mut config = a_box(json!({}));
    config["metadata"]["managedFields"] = json!([]);
    assert_eq!(
        server.apply(None, "a", &config),
        Err(ApplyError::ManagedFieldsGiven)
    );
    config["kind"] = json!("Crate");
    assert_eq!(
        server.apply(None, "a", &config).unwrap_err().to_string(),
        "invalid object type: t.io/v1, Kind=Crate"
    );
}

#[test]
fn owners_can_be_forgotten_or_replaced_and_nonsense_is_passed_over() {
    let server = Server::new();
    let created = server.update(None, "a", &a_box(json!({"replicas": 1})));
    let with = |list: Value| {
        let mut new = created.clone();
        new["metadata"]["managedFields"] = list;
        server.update(Some(&created), "b", &new)
    };
    assert_eq!(owners(&with(json!([{}]))), Vec::<String>::new());
    assert_eq!(owners(&with(json!([]))), owners(&created));
    let entry = |operation: &str, fields: Value| json!([{"manager": "m", "operation": operation, "apiVersion": "t.io/v1", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
    assert_eq!(
        owners(&with(entry("Apply", json!({"f:spec": {"f:args": {}}})))),
        ["m Apply: .spec.args"]
    );
    assert_eq!(
        owners(&with(entry("Steal", json!({"f:spec": {}})))),
        owners(&created)
    );
    assert_eq!(
        owners(&with(entry("Apply", json!({"spec": {}})))),
        owners(&created)
    );
    let forgotten = with(json!([{}]));
    let mut changed = forgotten.clone();
    changed["spec"]["replicas"] = json!(3);
    assert_eq!(
        owners(&server.update(Some(&forgotten), "b", &changed)),
        Vec::<String>::new()
    );
    let mut config = a_box(json!({"args": ["x"]}));
    let tracked = server.apply(Some(&changed), "b", &config).unwrap();
    assert_eq!(
        owners(&tracked),
        ["b Apply: .spec.args", "before-first-apply Update: .spec.replicas"]
    );
    config["spec"]["replicas"] = json!(4);
    assert!(server.apply(Some(&tracked), "b", &config).is_err());
}

#[test]
fn of_more_than_ten_updates_the_oldest_become_ancient_changes() {
    let mut server = Server::new();
    let mut object = server.update(None, "m0", &a_box(json!({"replicas": 1})));
    for step in 1..15 {
        server.later();
        let mut new = object.clone();
        let metadata = meta::metadata_mut(&mut new);
        let labels = meta::object_mut(metadata.entry("labels").or_insert(Value::Null));
        labels.insert(format!("k{step}"), "v".into());
        object = server.update(Some(&object), &format!("m{step}"), &new);
    }
    let found = owners(&object);
    assert_eq!(found.len(), 10);
    assert_eq!(
        found.first().map(String::as_str),
        Some(
            "ancient-changes Update: .metadata.labels .metadata.labels.k1 .metadata.labels.k2 .metadata.labels.k3 \
              .metadata.labels.k4 .metadata.labels.k5 .spec.replicas"
        )
    );
    assert_eq!(
        times(&object).first().map(String::as_str),
        Some("2026-01-02T03:04:10Z")
    );
}

#[test]
fn kubectl_goes_on_from_client_side_apply_without_force_but_not_over_what_others_changed() {
    let server = Server::new();
    let last = a_box(json!({"replicas": 1, "args": ["a"]}));
    let mut object = last.clone();
    object["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{last}\n")});
    let created = server.update(None, "kubectl-client-side-apply", &object);
    let config = a_box(json!({"replicas": 2, "args": ["b"]}));
    assert!(server.apply(Some(&created), "other", &config).is_err());
    let applied = server.apply(Some(&created), "kubectl", &config).unwrap();
    assert_eq!(applied["spec"], config["spec"]);
    let note = &applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(
        serde_json::from_str::<Value>(note.as_str().unwrap()).unwrap(),
        config
    );
    let mut scaled = created.clone();
    scaled["spec"]["replicas"] = json!(5);
    let scaled = server.update(Some(&created), "scaler", &scaled);
    assert_eq!(
        server
            .apply(Some(&scaled), "kubectl", &config)
            .unwrap_err()
            .to_string(),
        "Apply failed with 1 conflict: conflict with \"scaler\" using t.io/v1: .spec.replicas"
    );
}

#[test]
fn a_manager_without_a_name_is_told_by_its_user_agent() {
    assert_eq!(manager_of_agent("kubectl/v1.35.0 (linux/amd64)"), "kubectl");
    assert_eq!(manager_of_agent("a\u{7}b c/1"), "ab c");
    assert_eq!(manager_of_agent(&"ä".repeat(100)).len(), 128);
    assert_eq!(manager_of_agent(""), "");
}

#[test]
fn only_times_apart_is_the_same() {
    let mut server = Server::new();
    let old = server.update(None, "a", &a_box(json!({"replicas": 1})));
    server.later();
    let new = server.update(None, "a", &a_box(json!({"replicas": 1})));
    assert!(new != old && same_but_for_times(&new, &old));
    let other = server.update(None, "a", &a_box(json!({"replicas": 2})));
    assert!(!same_but_for_times(&other, &old));
}
