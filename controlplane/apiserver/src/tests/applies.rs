use super::*;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

impl Api {
    async fn apply(&self, path: &str, manager: &str, config: &Value) -> Answer {
        self.patch(
            &format!("{path}?fieldManager={manager}"),
            "apply-patch+yaml",
            config,
        )
        .await
    }

    async fn force(&self, path: &str, manager: &str, config: &Value) -> Answer {
        let path = format!("{path}?fieldManager={manager}&force=true");
        self.patch(&path, "apply-patch+yaml", config).await
    }
}

fn message(answer: &Answer) -> &str {
    answer.body["message"].as_str().unwrap_or_default()
}

/// Each owner: `manager operation/subresource`.
fn owners(object: &Value) -> Vec<String> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    entries
        .iter()
        .map(|entry| {
            let words = [
                text(entry, "manager"),
                text(entry, "operation"),
                text(entry, "subresource"),
            ];
            words.join(" ").trim_end().to_owned()
        })
        .collect()
}

/// The fields of a manager.
fn fields_of<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array();
    let mut entries = entries.into_iter().flatten();
    entries
        .find(|entry| entry["manager"] == manager)
        .map_or(&Value::Null, |entry| &entry["fieldsV1"])
}

fn config(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn deployment(replicas: Option<u32>, image: &str) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}},
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = replicas.into();
    }
    object
}

#[tokio::test]
async fn what_is_created_belongs_to_the_user_agent_or_the_named_manager() {
    let api = Api::start().await;
    let agent = [
        (CONTENT_TYPE, "application/json"),
        (http::header::USER_AGENT, "my-tool/v1.2 (linux)"),
    ];
    let created = api
        .send(
            "POST",
            CONFIG_MAPS,
            &agent,
            config(json!({"k": "v"})).to_string().into_bytes(),
        )
        .await;
    assert_eq!(created.code, 201, "{}", created.body);
    let expected = json!([{"manager": "my-tool", "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:k": {}}}}]);
    assert_eq!(created.body["metadata"]["managedFields"], expected);
    let named = format!("{CONFIG_MAPS}/a?fieldManager=other");
    let patched = api
        .patch(&named, "merge-patch+json", &json!({"data": {"k": "w", "l": "x"}}))
        .await;
    assert_eq!(fields_of(&patched.body, "my-tool"), &json!({"f:data": {}}));
    assert_eq!(
        fields_of(&patched.body, "other"),
        &json!({"f:data": {"f:k": {}, "f:l": {}}})
    );
}

/// As `kubectl create deployment` leaves it on a real cluster.
#[tokio::test]
async fn a_created_deployment_has_the_owners_that_kubernetes_notes() {
    let api = Api::start().await;
    let path = format!("{DEPLOYMENTS}?fieldManager=kubectl-create");
    let created = api.post(&path, &deployment(Some(1), "nginx:1")).await;
    let expected = json!({"f:spec": {
        "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {}, "f:selector": {},
        "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
        "f:template": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {},
                    "f:resources": {}, "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}}},
                "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {}, "f:securityContext": {},
                "f:terminationGracePeriodSeconds": {}}}}});
    assert_eq!(fields_of(&created.body, "kubectl-create"), &expected);
}

#[tokio::test]
async fn an_apply_creates_what_is_not_there_and_the_same_again_makes_no_revision() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let created = api.apply(&path, "m", &config(json!({"k": "v"}))).await;
    assert_eq!(created.code, 201, "{}", created.body);
    assert_eq!(owners(&created.body), ["m Apply"]);
    api.clock.advance(5);
    let again = api.apply(&path, "m", &config(json!({"k": "v"}))).await;
    assert_eq!((again.code, &again.body), (200, &created.body));
    let deployment = deployment(None, "nginx:1");
    let path = format!("{DEPLOYMENTS}/web");
    let created = api.apply(&path, "m", &deployment).await;
    assert_eq!(created.code, 201, "{}", created.body);
    api.clock.advance(5);
    let again = api.apply(&path, "m", &deployment).await;
    assert_eq!((again.code, &again.body), (200, &created.body));
}

#[tokio::test]
async fn a_conflict_names_field_and_owner_and_force_takes_over() {
    let api = Api::start().await;
    let path = format!("{DEPLOYMENTS}/web");
    api.apply(&path, "first", &deployment(Some(2), "nginx:1")).await;
    let refused = api.apply(&path, "second", &deployment(Some(3), "nginx:2")).await;
    assert_eq!(
        (refused.code, refused.body["reason"].as_str()),
        (409, Some("Conflict"))
    );
    assert_eq!(
        message(&refused),
        "Apply failed with 2 conflicts: conflicts with \"first\":\n- .spec.replicas\n\
         - .spec.template.spec.containers[name=\"c\"].image"
    );
    assert_eq!(
        refused.body["details"]["causes"][0]["reason"],
        "FieldManagerConflict"
    );
    let forced = api.force(&path, "second", &deployment(Some(3), "nginx:2")).await;
    assert_eq!(forced.code, 200, "{}", forced.body);
    assert_eq!(forced.body["spec"]["replicas"], 3);
    assert!(
        fields_of(&forced.body, "first")["f:spec"]
            .get("f:replicas")
            .is_none()
    );
}

#[tokio::test]
async fn a_field_that_is_no_longer_applied_goes_back_to_its_default() {
    let api = Api::start().await;
    let path = format!("{DEPLOYMENTS}/web");
    api.apply(&path, "m", &deployment(Some(5), "nginx:1")).await;
    let less = api.apply(&path, "m", &deployment(None, "nginx:1")).await;
    assert_eq!(less.body["spec"]["replicas"], 1);
    let path = format!("{CONFIG_MAPS}/a");
    api.apply(&path, "m", &config(json!({"k": "v", "l": "w"}))).await;
    let less = api.apply(&path, "m", &config(json!({"l": "w"}))).await;
    assert_eq!(less.body["data"], json!({"l": "w"}));
}

#[tokio::test]
async fn yaml_is_applied_and_a_dry_run_writes_nothing() {
    let api = Api::start().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n";
    let path = format!("{CONFIG_MAPS}/a?fieldManager=m");
    let headers = [(CONTENT_TYPE, "application/apply-patch+yaml")];
    let dry = api
        .send("PATCH", &format!("{path}&dryRun=All"), &headers, yaml.into())
        .await;
    assert_eq!((dry.code, &dry.body["data"]), (201, &json!({"k": "v"})));
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
    assert_eq!(api.send("PATCH", &path, &headers, yaml.into()).await.code, 201);
    let broken = api.send("PATCH", &path, &headers, "a: [".into()).await;
    assert_eq!(broken.code, 400);
    assert!(
        message(&broken).starts_with("error decoding YAML: "),
        "{}",
        broken.body
    );
}

#[tokio::test]
async fn status_and_scale_are_applied_with_owners_of_their_own() {
    let api = Api::start().await;
    let path = format!("{DEPLOYMENTS}/web");
    api.apply(&path, "m", &deployment(Some(2), "nginx:1")).await;
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 9}, "status": {"observedGeneration": 1, "replicas": 2}});
    let applied = api.apply(&format!("{path}/status"), "controller", &status).await;
    assert_eq!(applied.code, 200, "{}", applied.body);
    assert_eq!(
        (
            &applied.body["spec"]["replicas"],
            &applied.body["status"]["replicas"]
        ),
        (&json!(2), &json!(2))
    );
    assert_eq!(owners(&applied.body), ["controller Apply status", "m Apply"]);
    let scale = |replicas: u32| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": replicas}});
    let refused = api.apply(&format!("{path}/scale"), "scaler", &scale(4)).await;
    assert_eq!(
        message(&refused),
        "Apply failed with 1 conflict: conflict with \"m\": .spec.replicas"
    );
    let forced = api.force(&format!("{path}/scale"), "scaler", &scale(4)).await;
    assert_eq!(
        (forced.code, &forced.body["spec"]["replicas"]),
        (200, &json!(4)),
        "{}",
        forced.body
    );
    let read = api.get(&path).await.body;
    assert_eq!(
        owners(&read),
        ["controller Apply status", "m Apply", "scaler Apply scale"]
    );
    assert_eq!(
        api.apply(&format!("{CONFIG_MAPS}/none/status"), "m", &json!({}))
            .await
            .code,
        404
    );
    let absent = api
        .apply(&format!("{DEPLOYMENTS}/none/status"), "m", &status)
        .await;
    assert_eq!(absent.code, 404, "{}", absent.body);
}

#[tokio::test]
async fn options_of_an_apply_are_checked_as_upstream_checks_them() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let unnamed = api.patch(&path, "apply-patch+yaml", &config(json!({}))).await;
    assert_eq!(
        (unnamed.code, message(&unnamed)),
        (
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
        )
    );
    let forced = api
        .patch(&format!("{path}?force=true"), "merge-patch+json", &json!({}))
        .await;
    assert_eq!(
        message(&forced),
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
    let long = api
        .post(
            &format!("{CONFIG_MAPS}?fieldManager={}", "x".repeat(129)),
            &config(json!({})),
        )
        .await;
    assert_eq!(
        message(&long),
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
    );
    let mut other = config(json!({}));
    other["kind"] = json!("Secret");
    let other = api.apply(&path, "m", &other).await;
    assert_eq!(
        (other.code, message(&other)),
        (400, "invalid object type: /v1, Kind=Secret")
    );
    let mut unknown = config(json!({}));
    unknown["spec"] = json!({});
    let unknown = api.apply(&path, "m", &unknown).await;
    assert_eq!(
        (unknown.code, message(&unknown)),
        (
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .spec: field not declared in schema"
        )
    );
    let mut other_name = config(json!({}));
    other_name["metadata"]["name"] = json!("b");
    assert_eq!(api.apply(&path, "m", &other_name).await.code, 400);
    let mut pinned = config(json!({}));
    pinned["metadata"]["uid"] = json!("u");
    assert_eq!(api.apply(&path, "m", &pinned).await.code, 409);
}

#[tokio::test]
async fn an_apply_with_an_old_resource_version_is_a_conflict() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let first = api.apply(&path, "m", &config(json!({"k": "1"}))).await.body;
    api.apply(&path, "m", &config(json!({"k": "2"}))).await;
    let mut stale = config(json!({"k": "3"}));
    stale["metadata"]["resourceVersion"] = first["metadata"]["resourceVersion"].clone();
    let refused = api.apply(&path, "m", &stale).await;
    assert_eq!(
        (refused.code, refused.body["reason"].as_str()),
        (409, Some("Conflict")),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn what_the_server_itself_sets_is_nobodys() {
    let api = Api::start().await;
    let pod = bound_pod(&api, "p").await;
    let fields = pod["metadata"]["managedFields"][0]["fieldsV1"].to_string();
    for (field, owned) in [
        ("f:containers", true),
        ("f:nodeName", false),
        ("f:tolerations", false),
        ("f:status", false),
        ("f:uid", false),
    ] {
        assert_eq!(fields.contains(field), owned, "{field} in {fields}");
    }
}

#[tokio::test]
async fn an_object_that_only_its_owners_make_too_large_is_stored_without_them() {
    let api = Api::start().await;
    let key = |number: usize| (format!("{number:0>250}"), Value::from("v".repeat(250)));
    let data: Value = (0..2900).map(key).collect::<serde_json::Map<_, _>>().into();
    let created = api.post(CONFIG_MAPS, &config(data.clone())).await;
    assert_eq!((created.code, &created.body["data"]), (201, &data));
    assert_eq!(owners(&created.body), Vec::<String>::new());
}
