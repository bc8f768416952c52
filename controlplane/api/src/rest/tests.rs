use serde_json::json;

use super::*;
use crate::strategy::{DeleteOptions, Preconditions, UserInfo};

fn context() -> Context {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    Context {
        now,
        uid: "uid-1".to_owned(),
        suffix: "x2b4d".to_owned(),
        user: UserInfo::default(),
    }
}

fn resource(group: &str, plural: &str) -> Resource {
    (**crate::builtin().find(group, "v1", plural).unwrap()).clone()
}

fn create(resource: &Resource, mut object: Value, namespace: &str) -> Result<Value, ApiError> {
    prepare_create(resource, &mut object, namespace, &context()).map(|_| object)
}

fn pod(spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "web"}, "spec": {
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "web", "image": "nginx", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]}});
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

#[test]
fn a_created_object_gets_identity_from_the_server_alone() {
    let object = json!({
        "metadata": {"generateName": "cm-", "uid": "mine", "creationTimestamp": "1999-01-01T00:00:00Z",
            "deletionTimestamp": "1999-01-01T00:00:00Z", "generation": 7, "labels": {"a": "b"}},
        "data": {"k": "v"},
    });
    assert_eq!(
        create(&resource("", "configmaps"), object, "default").unwrap(),
        json!({
            "metadata": {"generateName": "cm-", "name": "cm-x2b4d", "namespace": "default", "uid": "uid-1",
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a": "b"}},
            "data": {"k": "v"},
        })
    );
}

#[test]
fn a_created_pod_is_pending_and_its_status_is_nobodys() {
    let mut object = pod(json!({}));
    object["status"] = json!({"phase": "Running", "podIP": "10.0.0.1"});
    let created = create(&resource("", "pods"), object, "default").unwrap();
    assert_eq!(
        created["status"],
        json!({"phase": "Pending", "qosClass": "BestEffort"})
    );
    assert_eq!(created["metadata"]["generation"], 1);
}

#[test]
fn a_create_that_breaks_rules_lists_them_all() {
    let error = create(
        &resource("", "pods"),
        json!({"metadata": {"name": "x"}, "spec": {
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}}),
        "default",
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "Pod \"x\" is invalid: spec.containers: Required value"
    );
    let mismatch = create(
        &resource("", "pods"),
        json!({"metadata": {"name": "x", "namespace": "a"}}),
        "b",
    );
    assert_eq!(
        mismatch.unwrap_err().to_string(),
        "the namespace of the provided object does not match the namespace sent on the request"
    );
}

#[test]
fn an_update_keeps_status_and_identity_and_counts_wishes() {
    let deployments = resource("apps", "deployments");
    let mut old = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod(json!({}))["spec"]},
        },
        "status": {"replicas": 1},
    });
    let mut new = old.clone();
    new["metadata"] = json!({"name": "web", "namespace": "default", "generation": 99});
    new["status"] = json!({"replicas": 9});
    let mut same = new.clone();
    prepare_update(&deployments, Part::Main, &mut same, &old, &context()).unwrap();
    assert_eq!(same, old);
    new["spec"]["replicas"] = json!(2);
    prepare_update(&deployments, Part::Main, &mut new, &old, &context()).unwrap();
    old["spec"]["replicas"] = json!(2);
    old["metadata"]["generation"] = json!(4);
    assert_eq!(new, old);
}

#[test]
fn a_status_write_changes_status_alone() {
    let pods = resource("", "pods");
    let old = create(&pods, pod(json!({})), "default").unwrap();
    let mut new = old.clone();
    new["spec"]["nodeName"] = json!("elsewhere");
    new["status"] = json!({"phase": "Running"});
    prepare_update(&pods, Part::Status, &mut new, &old, &context()).unwrap();
    let mut expected = old;
    expected["status"] = json!({"phase": "Running", "qosClass": "BestEffort"});
    assert_eq!(new, expected);
}

#[test]
fn binding_a_pod_is_no_change_of_what_is_wished_for() {
    let pods = resource("", "pods");
    let old = create(&pods, pod(json!({})), "default").unwrap();
    let mut bound = old.clone();
    bound["spec"]["nodeName"] = json!("a");
    prepare_update(&pods, Part::Sub("binding"), &mut bound, &old, &context()).unwrap();
    assert_eq!(bound["metadata"]["generation"], 1);
    assert_eq!(bound["spec"]["nodeName"], "a");
}

#[test]
fn an_update_of_another_object_of_the_name_is_a_conflict() {
    let old = json!({"metadata": {"name": "a", "uid": "u"}});
    let mut new = json!({"metadata": {"name": "a", "uid": "v"}});
    let error = prepare_update(&resource("", "nodes"), Part::Main, &mut new, &old, &context()).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (
            409,
            "Operation cannot be fulfilled on nodes \"a\": Precondition failed: UID in precondition: v, UID in object \
             meta: u"
        )
    );
}

#[test]
fn a_put_names_what_its_url_names() {
    let pods = resource("", "pods");
    let mut object = json!({"metadata": {"name": "a", "namespace": "x"}});
    assert_eq!(
        fit_url(&pods, &mut object, "x", "b").unwrap_err().to_string(),
        "the name of the object (a) does not match the name on the URL (b)"
    );
    assert_eq!(
        fit_url(&pods, &mut object, "y", "a").unwrap_err().to_string(),
        "the namespace of the object (x) does not match the namespace on the request (y)"
    );
    assert!(fit_url(&pods, &mut object, "x", "a").is_ok());
}

fn delete(resource: &Resource, object: &Value, options: &DeleteOptions) -> Deletion {
    prepare_delete(resource, object, options, &context()).unwrap()
}

fn grace(seconds: i64) -> DeleteOptions {
    DeleteOptions {
        grace_period_seconds: Some(seconds),
        ..DeleteOptions::default()
    }
}

#[test]
fn an_unbound_or_finished_pod_goes_at_once_and_a_bound_one_with_grace() {
    let pods = resource("", "pods");
    let mut object = create(&pods, pod(json!({})), "default").unwrap();
    assert_eq!(
        delete(&pods, &object, &DeleteOptions::default()),
        Deletion::Remove
    );
    object["spec"]["nodeName"] = json!("a");
    let Deletion::Mark(marked) = delete(&pods, &object, &DeleteOptions::default()) else {
        panic!("not marked")
    };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked["metadata"]["generation"], 2);
    assert_eq!(delete(&pods, &object, &grace(0)), Deletion::Remove);
    object["status"]["phase"] = json!("Succeeded");
    assert_eq!(
        delete(&pods, &object, &DeleteOptions::default()),
        Deletion::Remove
    );
}

#[test]
fn a_second_delete_may_shorten_the_grace_and_never_lengthen_it() {
    let pods = resource("", "pods");
    let mut object = create(&pods, pod(json!({})), "default").unwrap();
    object["spec"]["nodeName"] = json!("a");
    let Deletion::Mark(marked) = delete(&pods, &object, &DeleteOptions::default()) else {
        panic!("not marked")
    };
    assert_eq!(
        delete(&pods, &marked, &DeleteOptions::default()),
        Deletion::Unchanged
    );
    assert_eq!(delete(&pods, &marked, &grace(60)), Deletion::Unchanged);
    let Deletion::Mark(shorter) = delete(&pods, &marked, &grace(5)) else {
        panic!("not marked")
    };
    assert_eq!(shorter["metadata"]["deletionTimestamp"], "2026-01-01T00:00:05Z");
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert_eq!(delete(&pods, &marked, &grace(0)), Deletion::Remove);
}

#[test]
fn a_finalizer_holds_a_deleted_object_until_it_is_taken_away() {
    let maps = resource("", "configmaps");
    let object = json!({"metadata": {"name": "a", "finalizers": ["x.y/z"]}});
    let Deletion::Mark(marked) = delete(&maps, &object, &DeleteOptions::default()) else {
        panic!("not marked")
    };
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(
        delete(&maps, &marked, &DeleteOptions::default()),
        Deletion::Unchanged
    );
    let mut freed = marked.clone();
    freed["metadata"]["finalizers"] = json!([]);
    assert!(!deleted_by_update(&maps, &marked, &marked));
    assert!(deleted_by_update(&maps, &freed, &marked));
}

#[test]
fn propagation_is_told_by_finalizers() {
    let maps = resource("", "configmaps");
    let object = json!({"metadata": {"name": "a"}});
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let options = DeleteOptions {
            propagation_policy: Some(policy.to_owned()),
            ..DeleteOptions::default()
        };
        let Deletion::Mark(marked) = delete(&maps, &object, &options) else {
            panic!("not marked")
        };
        assert_eq!(meta::finalizers(&marked), [finalizer]);
        let background = DeleteOptions {
            propagation_policy: Some("Background".to_owned()),
            ..DeleteOptions::default()
        };
        assert_eq!(delete(&maps, &marked, &background), Deletion::Remove);
    }
}

#[test]
fn a_namespace_is_terminating_until_its_own_finalizers_are_gone() {
    let namespaces = resource("", "namespaces");
    let object = create(&namespaces, json!({"metadata": {"name": "a"}}), "").unwrap();
    assert_eq!(object["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(object["status"], json!({"phase": "Active"}));
    assert_eq!(
        object["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "a"})
    );
    let Deletion::Mark(marked) = delete(&namespaces, &object, &DeleteOptions::default()) else {
        panic!("not marked")
    };
    assert_eq!(marked["status"]["phase"], "Terminating");
    let mut finalized = marked.clone();
    finalized["spec"]["finalizers"] = json!([]);
    prepare_update(
        &namespaces,
        Part::Sub("finalize"),
        &mut finalized,
        &marked,
        &context(),
    )
    .unwrap();
    assert!(deleted_by_update(&namespaces, &finalized, &marked));
}

#[test]
fn a_precondition_that_does_not_hold_is_a_conflict() {
    let object = json!({"metadata": {"name": "a", "uid": "u"}});
    let preconditions = Some(Preconditions {
        uid: Some("v".to_owned()),
        resource_version: None,
    });
    let options = DeleteOptions {
        preconditions,
        ..DeleteOptions::default()
    };
    let error = prepare_delete(&resource("", "pods"), &object, &options, &context()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Operation cannot be fulfilled on pods \"a\": Precondition failed: UID in precondition: v, UID in object meta: u"
    );
}
