use super::*;

async fn delete_with(api: &Api, path: &str, options: &Value) -> Answer {
    api.send(
        "DELETE",
        path,
        &[(CONTENT_TYPE, "application/json")],
        options.to_string().into_bytes(),
    )
    .await
}

#[tokio::test]
async fn a_running_pod_is_marked_and_goes_when_its_node_says_so() {
    let api = Api::start().await;
    let pod = bound_pod(&api, "p").await;
    let path = format!("{PODS}/p");
    let marked = api.delete(&path).await;
    assert_eq!((marked.code, &marked.body["kind"]), (200, &json!("Pod")));
    assert_eq!(
        marked.body["metadata"]["deletionTimestamp"],
        "2026-01-02T03:04:35Z"
    );
    assert_eq!(marked.body["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = delete_with(&api, &path, &json!({"gracePeriodSeconds": 5})).await;
    assert_eq!(shorter.body["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer = delete_with(&api, &path, &json!({"gracePeriodSeconds": 60})).await;
    assert_eq!(longer.body["metadata"]["deletionGracePeriodSeconds"], 5);
    let other = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "another"}});
    assert_eq!(delete_with(&api, &path, &other).await.code, 409);
    let own = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}});
    assert_eq!(delete_with(&api, &path, &own).await.code, 200);
    assert_eq!(api.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_pod_without_a_node_goes_at_once() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await;
    assert_eq!(api.delete(&format!("{PODS}/p")).await.code, 200);
    assert_eq!(api.get(&format!("{PODS}/p")).await.code, 404);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let api = Api::start().await;
    let mut object = config_map("a");
    object["metadata"]["finalizers"] = json!(["x.dev/one"]);
    api.post(CONFIG_MAPS, &object).await;
    let path = format!("{CONFIG_MAPS}/a");
    let held = api.delete(&path).await;
    assert!(
        held.body["metadata"]["deletionTimestamp"].is_string(),
        "{}",
        held.body
    );
    assert_eq!(api.get(&path).await.code, 200);
    let patch = json!({"metadata": {"finalizers": null}});
    assert_eq!(api.patch(&path, "merge-patch+json", &patch).await.code, 200);
    assert_eq!(api.get(&path).await.code, 404);
}

#[tokio::test]
async fn foreground_and_orphan_deletion_leave_a_finalizer_for_the_collector() {
    let api = Api::start().await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let name = policy.to_lowercase();
        api.post(CONFIG_MAPS, &config_map(&name)).await;
        let path = format!("{CONFIG_MAPS}/{name}");
        let held = delete_with(&api, &path, &json!({"propagationPolicy": policy})).await;
        assert_eq!(
            held.body["metadata"]["finalizers"],
            json!([finalizer]),
            "{}",
            held.body
        );
    }
}

#[tokio::test]
async fn a_collection_is_deleted_as_its_selector_says() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let deleted = api.delete(&format!("{CONFIG_MAPS}?labelSelector=app!%3Db")).await;
    assert_eq!(
        (deleted.code, deleted.body["items"].as_array().unwrap().len()),
        (200, 2)
    );
    let left = api.get(CONFIG_MAPS).await.body;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["metadata"]["name"], "b");
}

#[tokio::test]
async fn deleting_what_is_absent_is_not_found_with_details() {
    let api = Api::start().await;
    let answer = api.delete(&format!("{CONFIG_MAPS}/a")).await;
    assert_eq!(
        (answer.code, answer.body["details"].clone()),
        (404, json!({"name": "a", "kind": "configmaps"}))
    );
}

#[tokio::test]
async fn the_answer_to_a_delete_is_the_object_for_some_kinds_and_a_status_for_others() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    api.post("/api/v1/namespaces/default/services", &service).await;
    for (path, kind) in [
        (format!("{PODS}/p"), "Pod"),
        ("/api/v1/namespaces/default/services/s".to_owned(), "Service"),
        (format!("{ACCOUNTS}/default"), "ServiceAccount"),
    ] {
        let before = api.get(&path).await.body;
        let answer = api.delete(&path).await;
        assert_eq!((answer.code, answer.body["kind"].as_str()), (200, Some(kind)));
        assert_eq!(answer.body["metadata"]["uid"], before["metadata"]["uid"]);
    }
    let uid = api.get(&format!("{CONFIG_MAPS}/a")).await.body["metadata"]["uid"].clone();
    let answer = api.delete(&format!("{CONFIG_MAPS}/a")).await;
    assert_eq!((answer.code, &answer.body["kind"]), (200, &json!("Status")));
    assert_eq!(
        answer.body["details"],
        json!({"name": "a", "kind": "configmaps", "uid": uid})
    );
}

#[tokio::test]
async fn a_delete_that_waits_is_accepted_where_dependents_were_to_go_first() {
    let api = Api::start().await;
    bound_pod(&api, "p").await;
    let answer = delete_with(&api, &format!("{PODS}/p"), &json!({"orphanDependents": false})).await;
    assert_eq!((answer.code, &answer.body["kind"]), (202, &json!("Pod")));
}

#[tokio::test]
async fn an_object_of_another_kind_is_no_options_and_deletes_nothing() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}/a");
    let refused = delete_with(&api, &path, &json!({"kind": "Pod", "apiVersion": "v1"})).await;
    assert_eq!(
        (refused.code, &refused.body["message"]),
        (
            400,
            &json!("Pod in version \"v1\" cannot be handled as a DeleteOptions")
        )
    );
    let refused = delete_with(
        &api,
        CONFIG_MAPS,
        &json!({"kind": "ConfigMapList", "apiVersion": "v1"}),
    )
    .await;
    assert_eq!(refused.code, 400);
    assert_eq!(api.get(&path).await.code, 200);
    // Clients name the group of what they delete.
    let options = json!({"kind": "DeleteOptions", "apiVersion": "apps/v1", "dryRun": ["Some"]});
    let refused = delete_with(&api, &path, &options).await;
    assert_eq!(
        (refused.code, &refused.body["message"]),
        (
            422,
            &json!(
                "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: []string{\"Some\"}: supported values: \"All\""
            )
        )
    );
}

#[tokio::test]
async fn a_grace_below_nothing_is_a_second() {
    let api = Api::start().await;
    bound_pod(&api, "p").await;
    let marked = api.delete(&format!("{PODS}/p?gracePeriodSeconds=-1")).await;
    assert_eq!(
        marked.body["metadata"]["deletionGracePeriodSeconds"], 1,
        "{}",
        marked.body
    );
}
