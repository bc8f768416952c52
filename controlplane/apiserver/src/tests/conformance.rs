//! Behaviours that Kubernetes' conformance tests name, each in the smallest form that shows it.

use super::*;

const EVENTS: &str = "/api/v1/namespaces/default/events";
const NEW_EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// Codes of what may be refused, and the message.
pub(super) fn told(answer: &Answer) -> (u16, String) {
    (
        answer.code,
        answer.body["message"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn watches_with_selectors_see_their_own_objects_alone_and_all_of_their_life() {
    let api = Api::start().await;
    let watch = |selector: &str| format!("{CONFIG_MAPS}?watch=true&labelSelector={selector}");
    let (only_a, only_b, both) = ("app%3Da", "app%3Db", "app%20in%20(a,b)");
    let mut watches = Vec::new();
    for selector in [only_a, only_b, both] {
        watches.push(api.watch(&watch(selector)).await);
    }
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
        let path = format!("{CONFIG_MAPS}/{name}");
        api.patch(&path, "merge-patch+json", &json!({"data": {"mutation": "1"}}))
            .await;
        api.delete(&path).await;
    }
    let life = |name: &str| ["ADDED", "MODIFIED", "DELETED"].map(|kind| format!("{kind} {name}"));
    let wanted = [
        life("a").to_vec(),
        life("b").to_vec(),
        [life("a"), life("b")].concat(),
    ];
    for (watch, wanted) in watches.iter_mut().zip(wanted) {
        for word in wanted {
            assert_eq!(watch.words().await, word);
        }
    }
}

#[tokio::test]
async fn watches_begun_at_each_of_many_versions_see_the_rest_in_one_order() {
    let api = Api::start().await;
    let mut versions = Vec::new();
    for index in 0..20 {
        let made = api
            .post(CONFIG_MAPS, &config_map(&format!("cm-{index:02}")))
            .await
            .body;
        versions.push(made["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
    }
    for (index, version) in versions.iter().enumerate() {
        let mut watch = api
            .watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}"))
            .await;
        for later in index + 1..20 {
            assert_eq!(watch.words().await, format!("ADDED cm-{later:02}"));
        }
    }
}

#[tokio::test]
async fn what_has_no_metadata_is_not_acceptable_as_a_table() {
    let api = Api::start().await;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    });
    let headers = [
        (ACCEPT, "application/json;as=Table;v=v1;g=meta.k8s.io"),
        (CONTENT_TYPE, "application/json"),
    ];
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = api
        .send("POST", path, &headers, review.to_string().into_bytes())
        .await;
    assert_eq!(
        (answer.code, &answer.body["reason"]),
        (406, &json!("NotAcceptable"))
    );
}

#[tokio::test]
async fn a_config_map_and_a_secret_have_no_empty_keys() {
    let api = Api::start().await;
    let mut settings = config_map("a");
    settings["data"] = json!({"": "value"});
    let (code, message) = told(&api.post(CONFIG_MAPS, &settings).await);
    assert_eq!(code, 422);
    assert!(message.contains("data[]: Invalid value"), "{message}");
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"": "dmFsdWU="}});
    let (code, message) = told(&api.post(SECRETS, &secret).await);
    assert_eq!(code, 422);
    assert!(message.contains("data[]: Invalid value"), "{message}");
}

#[tokio::test]
async fn what_is_immutable_keeps_its_data_and_stays_immutable() {
    let api = Api::start().await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "dmFsdWU="}});
    for (collection, object, other) in [
        (CONFIG_MAPS, config_map("a"), json!("w")),
        (SECRETS, secret, json!("b3RoZXI=")),
    ] {
        let path = format!("{collection}/a");
        api.post(collection, &object).await;
        let freeze = json!({"data": {"k": other}, "immutable": true});
        assert_eq!(api.patch(&path, "merge-patch+json", &freeze).await.code, 200);
        for change in [
            json!({"data": {"k": "eA=="}}),
            json!({"immutable": false}),
            json!({"immutable": null}),
        ] {
            let (code, message) = told(&api.patch(&path, "merge-patch+json", &change).await);
            assert_eq!(code, 422, "{path} {change}");
            assert!(
                message.contains("field is immutable when `immutable` is set"),
                "{message}"
            );
        }
        let label = json!({"metadata": {"labels": {"free": "yes"}}});
        assert_eq!(api.patch(&path, "merge-patch+json", &label).await.code, 200);
        assert_eq!(api.delete(&path).await.code, 200);
    }
}

#[tokio::test]
async fn a_secret_is_patched_found_in_all_namespaces_and_deleted_by_its_label() {
    let api = Api::start().await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "a", "labels": {"testsecret-constant": "true"}}, "data": {"key": "dmFsdWU="},
    });
    api.post(SECRETS, &secret).await;
    let patch = json!({"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": "dmFsdWUx"}});
    let patched = api
        .patch(&format!("{SECRETS}/a"), "strategic-merge-patch+json", &patch)
        .await;
    assert_eq!(patched.code, 200);
    let listed = api
        .get("/api/v1/secrets?labelSelector=testsecret%3Dtrue")
        .await
        .body;
    assert_eq!(listed["items"][0]["data"]["key"], "dmFsdWUx");
    api.delete(&format!("{SECRETS}?labelSelector=testsecret%3Dtrue"))
        .await;
    let listed = api
        .get("/api/v1/secrets?labelSelector=testsecret-constant%3Dtrue")
        .await
        .body;
    assert_eq!(listed["items"], json!([]));
}

fn event(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "labels": {"testevent-set": "true"}},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Test", "message": "as it was", "type": "Normal", "count": 2,
        "source": {"component": "test"}, "firstTimestamp": "2026-01-02T03:00:00Z", "lastTimestamp": "2026-01-02T03:00:00Z",
    })
}

#[tokio::test]
async fn events_are_one_kind_under_two_groups_and_deleted_as_a_collection() {
    let api = Api::start().await;
    for name in ["one", "two", "three"] {
        let made = api.post(EVENTS, &event(name)).await;
        assert_eq!(made.code, 201, "{}", made.body);
    }
    let new = api.get(&format!("{NEW_EVENTS}/one")).await.body;
    assert_eq!(
        (&new["apiVersion"], &new["note"]),
        (&json!("events.k8s.io/v1"), &json!("as it was"))
    );
    assert_eq!(new["regarding"]["name"], "p");
    assert_eq!(
        (&new["deprecatedCount"], &new["deprecatedSource"]["component"]),
        (&json!(2), &json!("test"))
    );
    let patch = json!({"message": "as it is"});
    assert_eq!(
        api.patch(&format!("{EVENTS}/one"), "merge-patch+json", &patch)
            .await
            .code,
        200
    );
    let listed = api
        .get("/apis/events.k8s.io/v1/events?labelSelector=testevent-set%3Dtrue")
        .await
        .body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    assert!(
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["note"] == "as it is")
    );
    let one = api
        .get(&format!(
            "{EVENTS}?fieldSelector=involvedObject.name%3Dp,metadata.name%3Done"
        ))
        .await
        .body;
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        api.delete(&format!("{NEW_EVENTS}?labelSelector=testevent-set%3Dtrue"))
            .await
            .code,
        200
    );
    assert_eq!(
        api.get(&format!("{EVENTS}?labelSelector=testevent-set%3Dtrue"))
            .await
            .body["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_namespace_takes_labels_a_finalizer_and_conditions() {
    let api = Api::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "e2e"}});
    api.post("/api/v1/namespaces", &namespace).await;
    let path = "/api/v1/namespaces/e2e";
    let label = json!({"metadata": {"labels": {"testLabel": "testValue"}}});
    let patched = api.patch(path, "strategic-merge-patch+json", &label).await.body;
    assert_eq!(patched["metadata"]["labels"]["testLabel"], "testValue");
    assert_eq!(
        patched["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "e2e"
    );
    let mut object = patched;
    object["metadata"]["labels"]["updated"] = json!("yes");
    let mut object = api.put(path, &object).await.body;
    assert_eq!(object["metadata"]["labels"]["updated"], "yes");
    object["spec"]["finalizers"] = json!(["kubernetes", "e2e.example.com/fake"]);
    let held = api.put(&format!("{path}/finalize"), &object).await;
    assert_eq!(
        held.body["spec"]["finalizers"],
        json!(["kubernetes", "e2e.example.com/fake"]),
        "{}",
        held.body
    );
    let mut object = held.body;
    object["spec"]["finalizers"] = json!(["kubernetes"]);
    let freed = api.put(&format!("{path}/finalize"), &object).await.body;
    assert_eq!(freed["spec"]["finalizers"], json!(["kubernetes"]));
}

#[tokio::test]
async fn a_pod_has_a_generation_that_counts_its_changes() {
    let api = Api::start().await;
    let mut object = pod("p");
    object["metadata"]["generation"] = json!(100);
    let made = api.post(PODS, &object).await.body;
    assert_eq!(made["metadata"]["generation"], 1);
    let path = format!("{PODS}/p");
    let label = json!({"metadata": {"labels": {"seen": "yes"}}});
    let labelled = api.patch(&path, "merge-patch+json", &label).await.body;
    assert_eq!(labelled["metadata"]["generation"], 1);
    let deadline = json!({"spec": {"activeDeadlineSeconds": 5000}});
    let patched = api.patch(&path, "merge-patch+json", &deadline).await.body;
    assert_eq!(patched["metadata"]["generation"], 2);
    let image = json!({"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}});
    let patched = api.patch(&path, "strategic-merge-patch+json", &image).await.body;
    assert_eq!(patched["metadata"]["generation"], 3);
    let toleration =
        json!([{"op": "add", "path": "/spec/tolerations/-", "value": {"key": "a", "operator": "Exists"}}]);
    let patched = api.patch(&path, "json-patch+json", &toleration).await.body;
    assert_eq!(patched["metadata"]["generation"], 4);
}

#[tokio::test]
async fn a_pod_that_is_deleted_in_its_grace_moves_its_generation() {
    let api = Api::start().await;
    let before = bound_pod(&api, "p").await["metadata"]["generation"]
        .as_i64()
        .unwrap();
    api.delete(&format!("{PODS}/p")).await;
    let ending = api.get(&format!("{PODS}/p")).await.body;
    assert!(ending["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(ending["metadata"]["generation"], before + 1);
}

#[tokio::test]
async fn the_deadline_of_a_pod_only_comes_nearer() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await;
    let path = format!("{PODS}/p");
    let deadline = |seconds: Value| json!({"spec": {"activeDeadlineSeconds": seconds}});
    for (seconds, code) in [
        (json!(50), 200),
        (json!(5), 200),
        (json!(60), 422),
        (Value::Null, 422),
    ] {
        let answer = api
            .patch(&path, "merge-patch+json", &deadline(seconds.clone()))
            .await;
        assert_eq!(answer.code, code, "{seconds}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_class_of_a_pods_quality_follows_its_requests_and_limits() {
    let api = Api::start().await;
    let cases = [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "100m"}}), "Burstable"),
        (
            json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "100m", "memory": "1Gi"}}),
            "Guaranteed",
        ),
    ];
    for (index, (resources, class)) in cases.into_iter().enumerate() {
        let mut object = pod(&format!("p{index}"));
        object["spec"]["containers"][0]["resources"] = resources;
        assert_eq!(api.post(PODS, &object).await.body["status"]["qosClass"], class);
    }
}

#[tokio::test]
async fn sysctls_that_are_none_are_refused() {
    let api = Api::start().await;
    let mut object = pod("p");
    let names = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar.."];
    let sysctls: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "value": "1"}))
        .collect();
    object["spec"]["securityContext"] = json!({"sysctls": sysctls});
    let (code, message) = told(&api.post(PODS, &object).await);
    assert_eq!(code, 422);
    // The others are names; whether a node has them is the node's to say.
    for (index, name) in names.iter().enumerate() {
        let named = message.contains(&format!("sysctls[{index}].name: Invalid value: \"{name}\""));
        assert_eq!(named, matches!(*name, "foo-" | "bar.."), "{message}");
    }
}

#[tokio::test]
async fn services_are_found_in_all_namespaces_and_deleted_as_a_collection() {
    let api = Api::start().await;
    let services = "/api/v1/namespaces/default/services";
    for name in ["a", "b", "c"] {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"e2e": "collection"}},
            "spec": {"ports": [{"port": 80}]},
        });
        assert_eq!(api.post(services, &service).await.code, 201);
    }
    let found = api
        .get("/api/v1/services?labelSelector=e2e%3Dcollection")
        .await
        .body;
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
    assert!(
        api.get("/api/v1/services").await.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["metadata"]["name"] == "kubernetes")
    );
    assert_eq!(
        api.delete(&format!("{services}?labelSelector=e2e%3Dcollection"))
            .await
            .code,
        200
    );
    let left = api
        .get("/api/v1/services?labelSelector=e2e%3Dcollection")
        .await
        .body;
    assert_eq!(left["items"], json!([]));
}

#[tokio::test]
async fn a_lease_keeps_times_to_the_microsecond() {
    let api = Api::start().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {
            "holderIdentity": "me", "leaseDurationSeconds": 30, "leaseTransitions": 0,
            "acquireTime": "2026-01-02T03:04:05.678901Z", "renewTime": "2026-01-02T03:04:05.678902Z",
        },
    });
    let made = api.post(leases, &lease).await.body;
    assert_eq!(made["spec"], lease["spec"]);
    let mut object = made;
    object["spec"]["leaseTransitions"] = json!(1);
    assert_eq!(
        api.put(&format!("{leases}/l"), &object).await.body["spec"],
        object["spec"]
    );
}

#[tokio::test]
async fn unknown_fields_of_metadata_are_found_as_those_of_the_object_are() {
    let api = Api::start().await;
    let mut object = config_map("a");
    object["metadata"]["unknownMeta"] = json!("x");
    let (code, message) = told(
        &api.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), &object)
            .await,
    );
    assert_eq!(code, 400);
    assert!(
        message.contains("unknown field \"metadata.unknownMeta\""),
        "{message}"
    );
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}, "unknownMeta": "x"},
                "spec": {"containers": [{"name": "c", "image": "i", "unknownNested": "y"}]},
            },
        },
    });
    let path = "/apis/apps/v1/namespaces/default/deployments?fieldValidation=Strict";
    let (code, message) = told(&api.post(path, &deployment).await);
    assert_eq!(code, 400);
    for field in [
        "spec.template.metadata.unknownMeta",
        "spec.template.spec.containers[0].unknownNested",
    ] {
        assert!(
            message.contains(&format!("unknown field \"{field}\"")),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_pod_keeps_the_volume_of_a_driver_that_its_pods_bring_along() {
    let api = Api::start().await;
    let driver = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "inline.example.com"},
        "spec": {"volumeLifecycleModes": ["Ephemeral"]},
    });
    let drivers = "/apis/storage.k8s.io/v1/csidrivers";
    let made = api.post(drivers, &driver).await;
    assert_eq!(
        made.body["spec"]["volumeLifecycleModes"],
        json!(["Ephemeral"]),
        "{}",
        made.body
    );
    let volume =
        json!({"driver": "inline.example.com", "readOnly": true, "volumeAttributes": {"attribute": "value"}});
    let mut inline = pod("inline");
    inline["metadata"]["labels"] = json!({"test": "inline"});
    inline["spec"]["volumes"] = json!([{"name": "v", "csi": volume}]);
    inline["spec"]["automountServiceAccountToken"] = json!(false);
    assert_eq!(api.post(PODS, &inline).await.code, 201);
    let selected = "/api/v1/pods?labelSelector=test%3Dinline";
    for found in [
        api.get(&format!("{PODS}/inline")).await.body,
        api.get(selected).await.body["items"][0].clone(),
    ] {
        assert_eq!(found["spec"]["volumes"], json!([{"name": "v", "csi": volume}]));
    }
    inline["spec"]["volumes"][0]["csi"]["driver"] = json!("other.example.com");
    inline["metadata"]["name"] = json!("other");
    assert_eq!(api.post(PODS, &inline).await.code, 201);
    inline["spec"]["volumes"][0]["csi"]
        .as_object_mut()
        .unwrap()
        .remove("driver");
    let refused = told(&api.post(PODS, &inline).await);
    assert_eq!(refused.0, 422);
    assert!(
        refused.1.contains("spec.volumes[0].csi.driver: Required value"),
        "{}",
        refused.1
    );
    for (path, name) in [(PODS, "inline"), (drivers, "inline.example.com")] {
        assert_eq!(api.delete(&format!("{path}/{name}")).await.code, 200);
        assert_eq!(api.get(&format!("{path}/{name}")).await.code, 404);
    }
}
