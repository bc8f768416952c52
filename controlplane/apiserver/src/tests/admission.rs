//! What upstream's default admission plugins do, one after the other.

use super::*;

const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

fn class(name: &str, value: i64, is_default: bool) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
        "value": value, "globalDefault": is_default, "preemptionPolicy": "Never",
    })
}

fn in_class(name: &str, class: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["priorityClassName"] = json!(class);
    pod
}

fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.code, answer.body["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_pod_has_the_priority_of_its_class_or_of_the_default_one() {
    let api = Api::start().await;
    let plain = api.post(PODS, &pod("plain")).await.body;
    assert_eq!(
        (&plain["spec"]["priority"], plain["spec"].get("priorityClassName")),
        (&json!(0), None)
    );
    assert_eq!(plain["spec"]["preemptionPolicy"], "PreemptLowerPriority");
    let critical = api
        .post(PODS, &in_class("critical", "system-node-critical"))
        .await
        .body;
    assert_eq!(critical["spec"]["priority"], 2_000_001_000_i64);
    for class in [class("low", 7, true), class("high", 900, false)] {
        assert_eq!(api.post(CLASSES, &class).await.code, 201);
    }
    let high = api.post(PODS, &in_class("high", "high")).await.body;
    assert_eq!(
        (&high["spec"]["priority"], &high["spec"]["preemptionPolicy"]),
        (&json!(900), &json!("Never"))
    );
    let unnamed = api.post(PODS, &pod("unnamed")).await.body;
    assert_eq!(
        (
            &unnamed["spec"]["priority"],
            &unnamed["spec"]["priorityClassName"]
        ),
        (&json!(7), &json!("low"))
    );
}

#[tokio::test]
async fn a_pod_whose_class_is_absent_or_says_otherwise_is_forbidden() {
    let api = Api::start().await;
    assert_eq!(
        refusal(&api.post(PODS, &in_class("p", "absent")).await),
        (
            403,
            r#"pods "p" is forbidden: no PriorityClass with name absent was found"#
        )
    );
    let mut own = pod("p");
    own["spec"]["priority"] = json!(5);
    assert_eq!(
        refusal(&api.post(PODS, &own).await),
        (
            403,
            "pods \"p\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority \
               admission controller computed 0 from the given PriorityClass name"
        )
    );
    let mut own = pod("p");
    own["spec"]["preemptionPolicy"] = json!("Never");
    assert_eq!(
        refusal(&api.post(PODS, &own).await),
        (
            403,
            "pods \"p\" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; \
               priority admission controller computed PreemptLowerPriority from the given PriorityClass name"
        )
    );
}

#[tokio::test]
async fn only_one_class_is_the_default_and_the_systems_classes_stay() {
    let api = Api::start().await;
    assert_eq!(api.post(CLASSES, &class("one", 1, true)).await.code, 201);
    assert_eq!(api.post(CLASSES, &class("two", 2, false)).await.code, 201);
    let second = api
        .patch(
            &format!("{CLASSES}/two"),
            "merge-patch+json",
            &json!({"globalDefault": true}),
        )
        .await;
    assert_eq!(
        refusal(&second),
        (
            403,
            "priorityclasses.scheduling.k8s.io \"two\" is forbidden: PriorityClass one is already marked as default. Only \
             one default can exist"
        )
    );
    let kept = api
        .patch(
            &format!("{CLASSES}/one"),
            "merge-patch+json",
            &json!({"description": "kept"}),
        )
        .await;
    assert_eq!(kept.code, 200);
    assert_eq!(
        refusal(&api.delete(&format!("{CLASSES}/system-node-critical")).await),
        (
            403,
            "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and \
             cannot be deleted"
        )
    );
}

#[tokio::test]
async fn the_namespaces_of_every_cluster_stay() {
    let api = Api::start().await;
    for name in ["default", "kube-system", "kube-public"] {
        assert_eq!(
            refusal(&api.delete(&format!("/api/v1/namespaces/{name}")).await),
            (
                403,
                format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted").as_str()
            )
        );
    }
    assert_eq!(api.delete("/api/v1/namespaces/kube-node-lease").await.code, 200);
}

#[tokio::test]
async fn the_limits_of_a_namespace_fill_in_and_bound_its_pods() {
    let api = Api::start().await;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"},
        "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "500m"}}]},
    });
    assert_eq!(
        api.post("/api/v1/namespaces/default/limitranges", &range)
            .await
            .code,
        201
    );
    let given = api.post(PODS, &pod("given")).await.body;
    let resources = &given["spec"]["containers"][0]["resources"];
    assert_eq!(
        *resources,
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}})
    );
    assert_eq!(given["status"]["qosClass"], "Burstable");
    let mut large = pod("large");
    large["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "2"}});
    let why = "pods \"large\" is forbidden: maximum cpu usage per Container is 1, but limit is 2";
    assert_eq!(refusal(&api.post(PODS, &large).await), (403, why));
    let resize = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}, "requests": {"cpu": "3"}}}]}});
    let resized = api
        .patch(
            &format!("{PODS}/given/resize"),
            "strategic-merge-patch+json",
            &resize,
        )
        .await;
    let why = "pods \"given\" is forbidden: maximum cpu usage per Container is 1, but limit is 3";
    assert_eq!(refusal(&resized), (403, why));
}

#[tokio::test]
async fn claims_and_ingresses_get_the_newest_default_class() {
    let api = Api::start().await;
    let class = |name: &str| {
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.com/disk",
            "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        })
    };
    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    assert_eq!(api.post(classes, &class("a")).await.code, 201);
    api.clock.advance(5);
    assert_eq!(api.post(classes, &class("b")).await.code, 201);
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        })
    };
    let mut none = claim("none");
    none["spec"]["storageClassName"] = json!("");
    assert_eq!(
        api.post(claims, &claim("some")).await.body["spec"]["storageClassName"],
        "b"
    );
    assert_eq!(api.post(claims, &none).await.body["spec"]["storageClassName"], "");
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": {"controller": "example.com/web"},
        "metadata": {"name": "web", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
    });
    assert_eq!(
        api.post("/apis/networking.k8s.io/v1/ingressclasses", &class)
            .await
            .code,
        201
    );
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "site"},
        "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
    });
    let ingress = api
        .post(
            "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
            &ingress,
        )
        .await
        .body;
    assert_eq!(ingress["spec"]["ingressClassName"], "web");
}

#[tokio::test]
async fn a_claim_grows_only_when_its_class_allows_it() {
    let api = Api::start().await;
    let class = |name: &str, grows: bool| {
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.com/disk",
            "metadata": {"name": name}, "allowVolumeExpansion": grows,
        })
    };
    for class in [class("grows", true), class("fixed", false)] {
        assert_eq!(
            api.post("/apis/storage.k8s.io/v1/storageclasses", &class)
                .await
                .code,
            201
        );
    }
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let refusal_of_fixed = "persistentvolumeclaims \"fixed\" is forbidden: only dynamically provisioned pvc can be resized and \
                            the storageclass that provisions the pvc must support resize";
    for (name, wanted) in [("grows", None), ("fixed", Some(refusal_of_fixed))] {
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": name, "volumeName": "pv",
                     "resources": {"requests": {"storage": "1Gi"}}},
        });
        assert_eq!(api.post(claims, &claim).await.code, 201);
        let path = format!("{claims}/{name}");
        let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        assert_eq!(
            api.patch(&format!("{path}/status"), "merge-patch+json", &bound)
                .await
                .code,
            200
        );
        let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        let answer = api.patch(&path, "merge-patch+json", &more).await;
        match wanted {
            None => assert_eq!(answer.code, 200, "{:?}", answer.body),
            Some(why) => assert_eq!(refusal(&answer), (403, why)),
        }
    }
}

#[tokio::test]
async fn a_pod_gets_what_its_runtime_class_costs() {
    let api = Api::start().await;
    let class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "kata"}, "handler": "kata",
        "overhead": {"podFixed": {"cpu": "250m"}},
    });
    assert_eq!(
        api.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.code,
        201
    );
    let in_class = |name: &str, class: &str| {
        let mut pod = pod(name);
        pod["spec"]["runtimeClassName"] = json!(class);
        pod
    };
    let heavy = api.post(PODS, &in_class("heavy", "kata")).await.body;
    assert_eq!(heavy["spec"]["overhead"], json!({"cpu": "250m"}));
    let why = "pods \"lost\" is forbidden: pod rejected: RuntimeClass \"runq\" not found";
    assert_eq!(
        refusal(&api.post(PODS, &in_class("lost", "runq")).await),
        (403, why)
    );
    let mut own = pod("own");
    own["spec"]["overhead"] = json!({"cpu": "1"});
    let why = "pods \"own\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
    assert_eq!(refusal(&api.post(PODS, &own).await), (403, why));
}

#[tokio::test]
async fn a_binding_may_be_sent_to_the_collection_of_bindings() {
    let api = Api::start().await;
    assert_eq!(api.post(PODS, &pod("p")).await.code, 201);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"},
    });
    let bound = api.post("/api/v1/namespaces/default/bindings", &binding).await;
    assert_eq!((bound.code, &bound.body["status"]), (201, &json!("Success")));
    assert_eq!(api.get(&format!("{PODS}/p")).await.body["spec"]["nodeName"], "n1");
    let other = api.post(&format!("{PODS}/q/binding"), &binding).await;
    assert_eq!(
        refusal(&other),
        (400, "name in URL does not match name in Binding object")
    );
}

/// The texts of an answer's warnings.
fn warnings(answer: &Answer) -> Vec<String> {
    let values = answer.headers.get_all("warning").iter();
    values.map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pods_keep_to_the_level_that_their_namespace_enforces() {
    let api = Api::start().await;
    let mut open = pod("open");
    open["spec"]["hostNetwork"] = json!(true);
    assert_eq!(api.post(PODS, &open).await.code, 201);
    let label = |level: &str| json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}});
    let namespace = "/api/v1/namespaces/default";
    let wrong = api.patch(namespace, "merge-patch+json", &label("strict")).await;
    assert_eq!(
        refusal(&wrong),
        (
            422,
            "Namespace \"default\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": \
             must be one of privileged, baseline, restricted"
        )
    );
    let labelled = api.patch(namespace, "merge-patch+json", &label("baseline")).await;
    assert_eq!(
        warnings(&labelled),
        [
            r#"299 - "existing pods in namespace \"default\" violate the new PodSecurity enforce level \"baseline:latest\"""#,
            r#"299 - "open: host namespaces""#,
        ]
    );
    open["metadata"]["name"] = json!("again");
    assert_eq!(
        refusal(&api.post(PODS, &open).await),
        (
            403,
            "pods \"again\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
        )
    );
    let labels = api
        .patch(
            &format!("{PODS}/open"),
            "merge-patch+json",
            &json!({"metadata": {"labels": {"a": "b"}}}),
        )
        .await;
    assert_eq!(labels.code, 200, "what is there is not looked at again");
    let template = json!({"metadata": {"labels": {"app": "d"}}, "spec": open["spec"]});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": template},
    });
    let made = api
        .post("/apis/apps/v1/namespaces/default/deployments", &deployment)
        .await;
    let warned =
        r#"299 - "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)""#;
    assert_eq!((made.code, warnings(&made)), (201, vec![warned.to_owned()]));
}

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

fn quota(name: &str, hard: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}})
}

async fn used(api: &Api, name: &str) -> Value {
    api.get(&format!("{QUOTAS}/{name}")).await.body["status"]["used"].clone()
}

#[tokio::test]
async fn a_quota_shows_the_life_of_its_pods_and_refuses_what_is_too_much() {
    let api = Api::start().await;
    let asking = |name: &str, cpu: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
        pod
    };
    assert_eq!(api.post(PODS, &asking("before", "250m")).await.code, 201);
    let made = api
        .post(QUOTAS, &quota("q", json!({"requests.cpu": "1", "pods": "3"})))
        .await;
    assert_eq!(
        made.body["status"],
        json!({"hard": {"requests.cpu": "1", "pods": "3"}, "used": {"requests.cpu": "250m", "pods": "1"}})
    );
    assert_eq!(api.post(PODS, &asking("a", "500m")).await.code, 201);
    assert_eq!(
        used(&api, "q").await,
        json!({"requests.cpu": "750m", "pods": "2"})
    );
    let why = "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=750m, limited: \
               requests.cpu=1";
    assert_eq!(refusal(&api.post(PODS, &asking("b", "500m")).await), (403, why));
    let why = "pods \"c\" is forbidden: failed quota: q: must specify requests.cpu for: c";
    assert_eq!(refusal(&api.post(PODS, &pod("c")).await), (403, why));
    let ended = json!({"status": {"phase": "Succeeded"}});
    assert_eq!(
        api.patch(&format!("{PODS}/a/status"), "merge-patch+json", &ended)
            .await
            .code,
        200
    );
    assert_eq!(
        used(&api, "q").await,
        json!({"requests.cpu": "250m", "pods": "1"})
    );
    assert_eq!(api.delete(&format!("{PODS}/before")).await.code, 200);
    assert_eq!(used(&api, "q").await, json!({"requests.cpu": "0", "pods": "0"}));
    let less = json!({"spec": {"hard": {"pods": "7"}}});
    let changed = api
        .patch(&format!("{QUOTAS}/q"), "merge-patch+json", &less)
        .await
        .body;
    assert_eq!(changed["status"]["hard"]["pods"], "7");
}

#[tokio::test]
async fn a_quota_counts_objects_of_every_kind() {
    let api = Api::start().await;
    let hard = json!({"configmaps": "2", "count/deployments.apps": "1", "services.nodeports": "1", "resourcequotas": "1"});
    assert_eq!(api.post(QUOTAS, &quota("q", hard)).await.code, 201);
    let map = config_map("m");
    assert_eq!(api.post(CONFIG_MAPS, &map).await.code, 201);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
    });
    let why = "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, \
               limited: services.nodeports=1";
    assert_eq!(
        refusal(&api.post("/api/v1/namespaces/default/services", &service).await),
        (403, why)
    );
    let why = "resourcequotas \"r\" is forbidden: exceeded quota: q, requested: resourcequotas=1, used: resourcequotas=1, \
               limited: resourcequotas=1";
    assert_eq!(
        refusal(&api.post(QUOTAS, &quota("r", json!({"pods": "1"}))).await),
        (403, why)
    );
    let counts = used(&api, "q").await;
    assert_eq!(
        (&counts["configmaps"], &counts["resourcequotas"]),
        (&json!("1"), &json!("1"))
    );
    assert_eq!(api.delete(&format!("{CONFIG_MAPS}/m")).await.code, 200);
    assert_eq!(used(&api, "q").await["configmaps"], "0");
}

#[tokio::test]
async fn many_at_once_use_no_more_than_there_is() {
    let api = Api::start().await;
    assert_eq!(
        api.post(QUOTAS, &quota("q", json!({"configmaps": "5"})))
            .await
            .code,
        201
    );
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let api = api.clone();
        tasks.spawn(async move {
            api.post(CONFIG_MAPS, &config_map(&format!("m{number}")))
                .await
                .code
        });
    }
    let mut codes = tasks.join_all().await;
    codes.sort_unstable();
    assert_eq!(codes, [vec![201; 5], vec![403; 7]].concat());
    assert_eq!(used(&api, "q").await["configmaps"], "5");
}

#[tokio::test]
async fn nobody_asks_for_an_administrators_certificate() {
    let api = Api::start().await;
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let request = |name: &str, group: &str| {
        let wanted = controlplane_pki::Request::client("ann", Some(group));
        let pem = controlplane_pki::KeyAndRequest::generate(&wanted)
            .unwrap()
            .csr_pem;
        json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {
                "request": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pem),
                "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
            },
        })
    };
    assert_eq!(api.post(path, &request("plain", "developers")).await.code, 201);
    let why = "certificatesigningrequests.certificates.k8s.io \"master\" is forbidden: use of kubernetes.io/kube-apiserver-client \
               signer with system:masters group is not allowed";
    assert_eq!(
        refusal(&api.post(path, &request("master", "system:masters")).await),
        (403, why)
    );
}

#[tokio::test]
async fn a_namespace_that_ends_says_so_to_programs() {
    let api = Api::start().await;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ending", "finalizers": ["example.com/hold"]},
    });
    assert_eq!(api.post("/api/v1/namespaces", &namespace).await.code, 201);
    assert_eq!(api.delete("/api/v1/namespaces/ending").await.code, 200);
    let refused = api
        .post("/api/v1/namespaces/ending/configmaps", &config_map("m"))
        .await;
    let cause = json!([{
        "reason": "NamespaceTerminating", "message": "namespace ending is being terminated", "field": "metadata.namespace",
    }]);
    assert_eq!((refused.code, &refused.body["details"]["causes"]), (403, &cause));
}

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
