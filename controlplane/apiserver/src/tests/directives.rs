//! Strategic merge patches with every directive, as kubectl sends them over the wire.

use super::*;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// A Deployment of two containers; its path.
async fn deployed(api: &Api) -> String {
    let containers = json!([
        {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
        {"name": "b", "image": "b:1"}]);
    let object = json!({"metadata": {"name": "web", "finalizers": ["x/one", "x/two"], "annotations": {"k": "v"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": containers, "nodeSelector": {"disk": "ssd", "zone": "1"},
                "volumes": [{"name": "v", "configMap": {"name": "c"}}]}}}});
    let created = api.post(DEPLOYMENTS, &object).await;
    assert_eq!(created.code, 201, "{}", created.body);
    format!("{DEPLOYMENTS}/web")
}

/// The object after a patch of a pod template's spec.
async fn template(api: &Api, path: &str, patch: Value) -> Value {
    let patch = json!({"spec": {"template": {"spec": patch}}});
    let patched = api.patch(path, "strategic-merge-patch+json", &patch).await;
    assert_eq!(patched.code, 200, "{}", patched.body);
    patched.body["spec"]["template"]["spec"].clone()
}

fn names(list: &Value) -> Vec<&str> {
    let elements = list.as_array().unwrap().iter();
    elements
        .map(|element| element["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_element_is_merged_by_its_key_deleted_or_the_list_replaced() {
    let api = Api::start().await;
    let path = deployed(&api).await;
    let merged = template(
        &api,
        &path,
        json!({"containers": [{"name": "a", "image": "a:2", "env": [{"name": "X", "value": "9"}]}]}),
    )
    .await;
    assert_eq!(merged["containers"][0]["image"], "a:2");
    assert_eq!(
        merged["containers"][0]["env"],
        json!([{"name": "X", "value": "9"}, {"name": "Y", "value": "2"}])
    );
    let less = template(
        &api,
        &path,
        json!({"containers": [{"name": "b", "$patch": "delete"}]}),
    )
    .await;
    assert_eq!(names(&less["containers"]), ["a"]);
    let replaced = json!({"containers": [{"name": "c", "image": "c:1"}, {"$patch": "replace"}]});
    let replaced = template(&api, &path, replaced).await;
    assert_eq!(names(&replaced["containers"]), ["c"]);
}

#[tokio::test]
async fn an_object_is_replaced_or_emptied_and_null_deletes_a_field() {
    let api = Api::start().await;
    let path = deployed(&api).await;
    let null = template(&api, &path, json!({"nodeSelector": {"zone": null}})).await;
    assert_eq!(null["nodeSelector"], json!({"disk": "ssd"}));
    let replaced = template(
        &api,
        &path,
        json!({"nodeSelector": {"$patch": "replace", "arch": "arm64"}}),
    )
    .await;
    assert_eq!(replaced["nodeSelector"], json!({"arch": "arm64"}));
    let emptied = template(&api, &path, json!({"nodeSelector": {"$patch": "delete"}})).await;
    assert!(
        emptied["nodeSelector"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    );
}

#[tokio::test]
async fn what_excludes_the_rest_says_so_with_retain_keys() {
    let api = Api::start().await;
    let path = deployed(&api).await;
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let patched = api.patch(&path, "strategic-merge-patch+json", &patch).await;
    assert_eq!(patched.body["spec"]["strategy"], json!({"type": "Recreate"}));
    let volume = json!({"name": "v", "emptyDir": {}, "$retainKeys": ["name", "emptyDir"]});
    let patched = template(&api, &path, json!({"volumes": [volume]})).await;
    assert_eq!(patched["volumes"], json!([{"name": "v", "emptyDir": {}}]));
}

#[tokio::test]
async fn values_leave_a_list_of_scalars_and_elements_take_the_order_that_is_set() {
    let api = Api::start().await;
    let path = deployed(&api).await;
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/one"], "finalizers": ["x/three"],
        "$setElementOrder/finalizers": ["x/three", "x/two"]}});
    let patched = api.patch(&path, "strategic-merge-patch+json", &patch).await;
    assert_eq!(
        patched.body["metadata"]["finalizers"],
        json!(["x/three", "x/two"])
    );
    let order = json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
        "containers": [{"name": "c", "image": "c:1"}]});
    let patched = template(&api, &path, order).await;
    assert_eq!(names(&patched["containers"]), ["c", "b", "a"]);
}

/// What `kubectl apply` sends after a container's variable, port and image were changed in its file.
#[tokio::test]
async fn a_difference_that_the_library_makes_is_what_the_server_stores() {
    let api = Api::start().await;
    let path = deployed(&api).await;
    let before = api.get(&path).await.body;
    let mut after = before.clone();
    after["spec"]["template"]["spec"]["containers"] = json!([
        {"name": "b", "image": "b:2"},
        {"name": "a", "image": "a:1", "env": [{"name": "Z", "value": "3"}, {"name": "X", "value": "1"}]}]);
    after["spec"]["strategy"] = json!({"type": "Recreate"});
    let schema = controlplane_schema::builtin()
        .kind("apps", "v1", "Deployment")
        .unwrap();
    let patch = schema.strategic_diff(&before, &after);
    let patched = api.patch(&path, "strategic-merge-patch+json", &patch).await;
    let spec = &patched.body["spec"];
    assert_eq!(spec["strategy"], json!({"type": "Recreate"}));
    let containers = &spec["template"]["spec"]["containers"];
    assert_eq!(names(containers), ["b", "a"]);
    assert_eq!(
        (names(&containers[1]["env"]), &containers[0]["image"]),
        (vec!["Z", "X"], &json!("b:2"))
    );
}

#[tokio::test]
async fn a_scale_is_shown_as_a_table_of_its_own() {
    let api = Api::start().await;
    let path = deployed(&api).await;
    let table = api
        .get_as(
            &format!("{path}/scale"),
            "application/json;as=Table;v=v1;g=meta.k8s.io",
        )
        .await
        .body;
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "Desired", "Available", "Age"]);
    assert_eq!(table["rows"][0]["cells"], json!(["web", 1, 0, "0s"]));
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "web");
}
