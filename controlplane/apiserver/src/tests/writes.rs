use super::*;

#[tokio::test]
async fn what_is_created_is_read_back_with_uid_time_and_version() {
    let api = Api::start().await;
    let created = api.post(CONFIG_MAPS, &config_map("a")).await;
    assert_eq!(created.code, 201, "{}", created.body);
    let read = api.get(&format!("{CONFIG_MAPS}/a")).await;
    assert_eq!((read.code, &read.body), (200, &created.body));
    let metadata = &read.body["metadata"];
    assert_eq!(metadata["creationTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    assert!(
        metadata["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 1
    );
}

#[tokio::test]
async fn a_second_create_of_the_same_name_is_already_exists() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let again = api.post(CONFIG_MAPS, &config_map("a")).await;
    assert_eq!(
        (again.code, again.body["reason"].as_str()),
        (409, Some("AlreadyExists"))
    );
}

#[tokio::test]
async fn a_generated_name_is_the_prefix_and_five_characters() {
    let api = Api::start().await;
    let mut object = config_map("");
    object["metadata"] = json!({"generateName": "web-"});
    let created = api.post(CONFIG_MAPS, &object).await;
    let name = created.body["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_absent_or_terminating() {
    let api = Api::start().await;
    let absent = api
        .post("/api/v1/namespaces/none/configmaps", &config_map("a"))
        .await;
    assert_eq!(
        (absent.code, absent.body["message"].as_str()),
        (404, Some("namespaces \"none\" not found"))
    );
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t"}});
    api.post("/api/v1/namespaces", &namespace).await;
    let deleted = api.delete("/api/v1/namespaces/t").await;
    assert_eq!(deleted.body["status"]["phase"], "Terminating", "{}", deleted.body);
    let refused = api
        .post("/api/v1/namespaces/t/configmaps", &config_map("a"))
        .await;
    assert_eq!(
        (refused.code, refused.body["reason"].as_str()),
        (403, Some("Forbidden"))
    );
}

#[tokio::test]
async fn an_update_with_an_old_version_is_a_conflict_and_one_without_overwrites() {
    let api = Api::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let first = api.post(CONFIG_MAPS, &config_map("a")).await.body;
    let mut second = first.clone();
    second["data"]["k"] = json!("second");
    assert_eq!(api.put(&path, &second).await.code, 200);
    let mut stale = first.clone();
    stale["data"]["k"] = json!("stale");
    let refused = api.put(&path, &stale).await;
    assert_eq!(
        (refused.code, refused.body["reason"].as_str()),
        (409, Some("Conflict"))
    );
    let mut blind = config_map("a");
    blind["data"]["k"] = json!("blind");
    assert_eq!(api.put(&path, &blind).await.code, 200);
    assert_eq!(api.get(&path).await.body["data"]["k"], "blind");
}

#[tokio::test]
async fn an_update_that_changes_nothing_makes_no_revision() {
    let api = Api::start().await;
    let first = api.post(CONFIG_MAPS, &config_map("a")).await.body;
    let again = api.put(&format!("{CONFIG_MAPS}/a"), &first).await;
    assert_eq!((again.code, again.body), (200, first));
}

#[tokio::test]
async fn all_three_kinds_of_patch_are_applied() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await;
    let path = format!("{PODS}/p");
    let strategic = json!({"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}});
    let patched = api.patch(&path, "strategic-merge-patch+json", &strategic).await;
    assert_eq!(patched.code, 200, "{}", patched.body);
    assert_eq!(
        patched.body["spec"]["containers"][0]["terminationMessagePath"],
        "/dev/termination-log"
    );
    api.patch(
        &path,
        "merge-patch+json",
        &json!({"metadata": {"labels": {"x": "y"}}}),
    )
    .await;
    let json_patch = json!([{"op": "remove", "path": "/metadata/labels/app"}]);
    let patched = api.patch(&path, "json-patch+json", &json_patch).await;
    assert_eq!(patched.body["metadata"]["labels"], json!({"x": "y"}));
    assert_eq!(patched.body["spec"]["containers"][0]["image"], "nginx:2");
}

#[tokio::test]
async fn a_patch_that_names_an_old_version_is_a_conflict() {
    let api = Api::start().await;
    let first = api.post(CONFIG_MAPS, &config_map("a")).await.body;
    let path = format!("{CONFIG_MAPS}/a");
    api.patch(&path, "merge-patch+json", &json!({"data": {"x": "1"}}))
        .await;
    let version = &first["metadata"]["resourceVersion"];
    let pinned = json!({"metadata": {"resourceVersion": version}, "data": {"x": "2"}});
    assert_eq!(api.patch(&path, "merge-patch+json", &pinned).await.code, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_write_racing_an_apply_loses_neither() {
    let api = Api::start().await;
    bound_pod(&api, "p").await;
    let path = format!("{PODS}/p");
    for round in 0..50 {
        let label = json!({"metadata": {"labels": {"round": round.to_string()}}, "status": {"message": "not by this path"}});
        let status =
            json!({"status": {"message": round.to_string()}, "spec": {"nodeName": "not by this path"}});
        let status_path = format!("{path}/status");
        let (applied, reported) = tokio::join!(
            api.patch(&path, "strategic-merge-patch+json", &label),
            api.patch(&status_path, "strategic-merge-patch+json", &status),
        );
        assert_eq!(
            (applied.code, reported.code),
            (200, 200),
            "{} {}",
            applied.body,
            reported.body
        );
        let now = api.get(&path).await.body;
        assert_eq!(now["metadata"]["labels"]["round"], round.to_string());
        assert_eq!(now["status"]["message"], round.to_string());
        assert_eq!(now["spec"]["nodeName"], "n1");
    }
}

#[tokio::test]
async fn status_write_after_delete_creates_nothing() {
    let api = Api::start().await;
    let lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let last = bound_pod(&api, "p").await;
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
    let body = options.to_string().into_bytes();
    api.send(
        "DELETE",
        &format!("{PODS}/p"),
        &[(CONTENT_TYPE, "application/json")],
        body,
    )
    .await;
    assert_eq!(api.put(&format!("{PODS}/p/status"), &last).await.code, 404);
    let patch = json!({"status": {"phase": "Running"}});
    assert_eq!(
        api.patch(&format!("{PODS}/p/status"), "merge-patch+json", &patch)
            .await
            .code,
        404
    );
    assert_eq!(api.get(&format!("{PODS}/p")).await.code, 404);
    assert!(api.get(lease).await.body["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn the_scale_is_read_written_and_patched_and_moves_generation() {
    let api = Api::start().await;
    let folder = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    });
    assert_eq!(api.post(folder, &deployment).await.code, 201);
    let path = format!("{folder}/d/scale");
    let mut scale = api.get(&path).await.body;
    assert_eq!(
        (
            &scale["kind"],
            &scale["spec"]["replicas"],
            &scale["status"]["selector"]
        ),
        (&json!("Scale"), &json!(2), &json!("a=b"))
    );
    scale["spec"]["replicas"] = json!(5);
    assert_eq!(api.put(&path, &scale).await.body["spec"]["replicas"], 5);
    assert_eq!(api.put(&path, &scale).await.code, 409);
    let patched = api
        .patch(&path, "merge-patch+json", &json!({"spec": {"replicas": 3}}))
        .await;
    assert_eq!(patched.body["spec"]["replicas"], 3);
    let deployment = api.get(&format!("{folder}/d")).await.body;
    assert_eq!(
        (
            &deployment["spec"]["replicas"],
            &deployment["metadata"]["generation"]
        ),
        (&json!(3), &json!(3))
    );
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let api = Api::start().await;
    let pod = bound_pod(&api, "p").await;
    assert_eq!(pod["spec"]["nodeName"], "n1");
    let binding =
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n2"}});
    assert_eq!(api.post(&format!("{PODS}/p/binding"), &binding).await.code, 409);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let api = Api::start().await;
    let created = api
        .post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a"))
        .await;
    assert_eq!(
        (created.code, created.body["metadata"]["name"].as_str()),
        (201, Some("a"))
    );
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let patch = json!({"data": {"k": "dry"}});
    let patched = api
        .patch(&format!("{CONFIG_MAPS}/a?dryRun=All"), "merge-patch+json", &patch)
        .await;
    assert_eq!(patched.body["data"]["k"], "dry");
    assert_eq!(
        api.send("DELETE", &format!("{CONFIG_MAPS}/a?dryRun=All"), &[], Vec::new())
            .await
            .code,
        200
    );
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.body["data"]["k"], "v");
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_dropped_warned_of_or_refused() {
    let api = Api::start().await;
    let body = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"NAME"},"foo":1,"data":{"a":"1","a":"2"}}"#;
    let send = |mode: &'static str| {
        let body = String::from_utf8_lossy(body)
            .replace("NAME", &mode.to_lowercase())
            .into_bytes();
        let path = format!("{CONFIG_MAPS}?fieldValidation={mode}");
        let api = api.clone();
        async move {
            api.send("POST", &path, &[(CONTENT_TYPE, "application/json")], body)
                .await
        }
    };
    let warnings = |answer: &Answer| -> Vec<String> {
        answer
            .headers
            .get_all("warning")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    let ignored = send("Ignore").await;
    assert_eq!((ignored.code, warnings(&ignored).len()), (201, 0));
    let warned = send("Warn").await;
    assert_eq!(warned.body.get("foo"), None);
    assert_eq!(
        warnings(&warned),
        [
            r#"299 - "duplicate field \"data.a\"""#,
            r#"299 - "unknown field \"foo\"""#
        ]
    );
    let refused = send("Strict").await;
    let message = refused.body["message"].as_str().unwrap();
    assert_eq!(refused.code, 400);
    assert!(
        message.ends_with(r#"strict decoding error: duplicate field "data.a", unknown field "foo""#),
        "{message}"
    );
}

#[tokio::test]
async fn an_object_that_is_too_large_to_keep_is_refused_and_yaml_is_read() {
    let api = Api::start().await;
    let mut big = config_map("big");
    big["data"]["k"] = json!("x".repeat(1_600_000));
    let big = api.post(CONFIG_MAPS, &big).await;
    assert!(matches!(big.code, 413 | 422), "{}", big.body);
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"y\"}\n".to_vec();
    let created = api
        .send("POST", CONFIG_MAPS, &[(CONTENT_TYPE, "application/yaml")], yaml)
        .await;
    assert_eq!(created.code, 201, "{}", created.body);
}

#[tokio::test]
async fn a_write_goes_on_when_its_caller_goes_away() {
    let api = Api::start().await;
    let created = {
        let object = config_map("a");
        let create = api.post(CONFIG_MAPS, &object);
        tokio::pin!(create);
        // Polled until the write has begun, then dropped as a lost connection would.
        futures::poll!(create.as_mut()).is_ready()
    };
    api.server.drain().await;
    assert!(!created);
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.code, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_increments_at_once_none_is_lost() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let api = api.clone();
        tasks.spawn(async move {
            let patch = json!({"data": {format!("n{number}"): "x"}});
            api.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch+json", &patch)
                .await
                .code
        });
    }
    assert!(tasks.join_all().await.iter().all(|code| *code == 200));
    let data = api.get(&format!("{CONFIG_MAPS}/a")).await.body["data"].clone();
    assert_eq!(data.as_object().unwrap().len(), 21);
}

#[tokio::test]
async fn what_typed_kubectl_commands_send_in_protobuf_is_created_and_deleted() {
    let protobuf = &[(CONTENT_TYPE, "application/vnd.kubernetes.protobuf")];
    let api = Api::start().await;
    let settings = include_bytes!("../../../protobuf/tests/captured/configmaps.bin").to_vec();
    let created = api.send("POST", CONFIG_MAPS, protobuf, settings).await;
    assert_eq!(created.code, 201, "{:?}", created.body);
    assert_eq!(created.body["metadata"]["name"], "settings");
    assert_eq!(created.body["data"], json!({"mode": "fast"}));

    // DeleteOptions with preconditions.uid "other".
    let options = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x09\x12\x07\x0a\x05other".to_vec();
    let path = format!("{CONFIG_MAPS}/settings");
    let refused = api.send("DELETE", &path, protobuf, options).await;
    assert_eq!(refused.code, 409, "{:?}", refused.body);

    let malformed = api.send("POST", CONFIG_MAPS, protobuf, b"{}".to_vec()).await;
    assert_eq!(malformed.code, 400);
}

#[tokio::test]
async fn amounts_times_and_bytes_are_shown_in_one_spelling() {
    let api = Api::start().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"pem": "YWJj\nZGVm\n"}});
    let made = api.post("/api/v1/namespaces/default/secrets", &secret).await;
    assert_eq!((made.code, &made.body["data"]["pem"]), (201, &json!("YWJjZGVm")));
    let limits = json!({"cpu": 0.5, "memory": "1024Mi"});
    let containers = json!([{"name": "c", "image": "i", "resources": {"limits": limits}}]);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}});
    let made = api.post(PODS, &pod).await;
    let shown = &made.body["spec"]["containers"][0]["resources"];
    let wanted = json!({"cpu": "500m", "memory": "1Gi"});
    assert_eq!((&shown["limits"], &shown["requests"]), (&wanted, &wanted));
}

/// A server of before had fewer defaults: its objects get the rest with the next write, which does not count them.
#[tokio::test]
async fn defaults_that_came_after_an_object_do_not_move_its_generation() {
    let options = Options::default();
    let store = Store::open(MemoryState::default(), options).unwrap();
    let api = Api::of(store.clone(), None).await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}});
    let made = api
        .post(
            path,
            &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}),
        )
        .await
        .body;
    let mut old = made.clone();
    for field in ["revisionHistoryLimit", "progressDeadlineSeconds"] {
        assert!(old["spec"].as_object_mut().unwrap().remove(field).is_some());
    }
    let key = controlplane_store::Key::parse("/registry/apps/deployments/default/d").unwrap();
    let put = controlplane_store::Op::Put {
        key,
        value: controlplane_store::Value::encode(&old).unwrap(),
        expires_at: None,
    };
    let txn = controlplane_store::Txn {
        actor: "".into(),
        compares: Vec::new(),
        ops: vec![put],
    };
    store.commit(txn).await.unwrap();
    let path = format!("{path}/d");
    assert_eq!(
        api.get(&path).await.body["spec"]["revisionHistoryLimit"],
        Value::Null
    );
    let label = json!({"metadata": {"labels": {"seen": "yes"}}});
    let labelled = api.patch(&path, "merge-patch+json", &label).await.body;
    assert_eq!(labelled["spec"], made["spec"]);
    assert_eq!(labelled["metadata"]["generation"], 1);
    let scaled = json!({"spec": {"replicas": 3}});
    let scaled = api.patch(&path, "merge-patch+json", &scaled).await.body;
    assert_eq!(scaled["metadata"]["generation"], 2);
}
