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
