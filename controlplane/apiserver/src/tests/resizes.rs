//! Pods that are changed by their subresources `resize` and `ephemeralcontainers`.

use super::*;

#[tokio::test]
async fn a_pod_that_does_not_run_yet_is_resized_and_gets_a_container_for_debugging() {
    let api = Api::start().await;
    let mut object = pod("p");
    object["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    assert_eq!(api.post(PODS, &object).await.code, 201);
    let wish = json!({"spec": {"containers": [{"name": "c", "image": "other", "resources": {"requests": {"cpu": "200m"}}}]}});
    let resized = api
        .patch(&format!("{PODS}/p/resize"), "strategic-merge-patch+json", &wish)
        .await;
    let container = &resized.body["spec"]["containers"][0];
    assert_eq!(
        (resized.code, &container["resources"]["requests"]["cpu"]),
        (200, &json!("200m"))
    );
    assert_eq!(container["image"], "nginx");
    let more = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "300m"}}}]}});
    let refused = api
        .patch(&format!("{PODS}/p"), "strategic-merge-patch+json", &more)
        .await;
    assert_eq!(refused.code, 422, "only the subresource resizes");
    let wish = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox", "targetContainerName": "c"}]}});
    let debugged = api
        .patch(
            &format!("{PODS}/p/ephemeralcontainers"),
            "strategic-merge-patch+json",
            &wish,
        )
        .await;
    assert_eq!(
        (
            debugged.code,
            &debugged.body["spec"]["ephemeralContainers"][0]["name"]
        ),
        (200, &json!("debug"))
    );
    let part = api.get(&format!("{PODS}/p/ephemeralcontainers")).await;
    assert_eq!(
        (part.code, &part.body["metadata"]["generation"]),
        (200, &json!(3))
    );
}

#[tokio::test]
async fn a_pod_that_runs_is_resized_where_its_node_says_what_containers_have() {
    let api = Api::start().await;
    let mut object = pod("p");
    let sizes = |cpu: &str, memory: &str| json!({"requests": {"cpu": cpu, "memory": memory}});
    object["spec"]["containers"][0]["resources"] = sizes("100m", "64Mi");
    assert_eq!(api.post(PODS, &object).await.code, 201);
    let says = async |resources: Value| {
        let mut status = json!({
            "name": "c", "image": "nginx", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
        });
        status["resources"] = resources;
        let status = json!({"status": {"containerStatuses": [status]}});
        api.patch(&format!("{PODS}/p/status"), "merge-patch+json", &status)
            .await
    };
    let resize = async |resources: Value| {
        let wish = json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
        api.patch(&format!("{PODS}/p/resize"), "strategic-merge-patch+json", &wish)
            .await
    };
    assert_eq!(says(Value::Null).await.code, 200);
    let why = "Pod \"p\" is invalid: spec: Forbidden: Pod running on node without support for resize";
    assert_eq!(refusal(&resize(sizes("200m", "64Mi")).await), (422, why));
    assert_eq!(says(sizes("100m", "64Mi")).await.code, 200);
    let resized = resize(sizes("200m", "32Mi")).await;
    assert_eq!(resized.code, 200, "{}", resized.body);
    assert_eq!(resized.body["metadata"]["generation"], 2);
    let class = resize(json!({"limits": {"cpu": "200m", "memory": "32Mi"}})).await;
    assert!(
        refusal(&class)
            .1
            .contains("Pod QOS Class may not change as a result of resizing")
    );
    let removed = resize(json!({"requests": {"cpu": null}})).await;
    assert!(
        refusal(&removed)
            .1
            .contains("resource requests cannot be removed"),
        "{}",
        removed.body
    );
}
