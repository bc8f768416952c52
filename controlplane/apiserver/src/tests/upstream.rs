//! What upstream's scheduler, its controller manager and programs made with client-go ask when they start: each is answered,
//! in the form in which they ask.

use controlplane_protobuf::{Kind, MEDIA_TYPE, decode};

use super::*;

const CLIENT_GO: &str = "application/vnd.kubernetes.protobuf,application/json";

/// What client-go's reflectors ask since its release 1.35, before they fall back to a list.
const WATCH_LIST: &str = "allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&timeoutSeconds=300&watch=true";

/// The informers of kube-scheduler 1.36 with its default plugins.
const SCHEDULER: [&str; 19] = [
    "/api/v1/pods?fieldSelector=status.phase!%3DSucceeded,status.phase!%3DFailed",
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/api/v1/services",
    "/api/v1/persistentvolumes",
    "/api/v1/persistentvolumeclaims",
    "/api/v1/replicationcontrollers",
    "/apis/apps/v1/replicasets",
    "/apis/apps/v1/statefulsets",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/storage.k8s.io/v1/csinodes",
    "/apis/storage.k8s.io/v1/csidrivers",
    "/apis/storage.k8s.io/v1/csistoragecapacities",
    "/apis/storage.k8s.io/v1/volumeattachments",
    "/apis/resource.k8s.io/v1/resourceclaims",
    "/apis/resource.k8s.io/v1/resourceslices",
    "/apis/resource.k8s.io/v1/deviceclasses",
    "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dextension-apiserver-authentication",
];

/// Those that kube-controller-manager 1.36 has beside them, with the controllers that are on by default.
const CONTROLLER_MANAGER: [&str; 27] = [
    "/api/v1/configmaps",
    "/api/v1/endpoints",
    "/api/v1/limitranges",
    "/api/v1/podtemplates",
    "/api/v1/pods",
    "/api/v1/resourcequotas",
    "/api/v1/secrets?fieldSelector=type%3Dbootstrap.kubernetes.io/token",
    "/api/v1/serviceaccounts",
    "/apis/apps/v1/controllerrevisions",
    "/apis/apps/v1/daemonsets",
    "/apis/apps/v1/deployments",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/apis/batch/v1/cronjobs",
    "/apis/batch/v1/jobs",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/networking.k8s.io/v1/ingresses",
    "/apis/networking.k8s.io/v1/ipaddresses",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/networking.k8s.io/v1/servicecidrs",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/resource.k8s.io/v1/resourceclaimtemplates",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/storage.k8s.io/v1/volumeattributesclasses",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/apiregistration.k8s.io/v1/apiservices",
];

/// Reads a watch up to the bookmark that ends its initial events; answers with the version to go on from.
async fn synced(api: &Api, path: &str, accept: &str) -> String {
    let response = api.open("GET", path, &[(ACCEPT, accept)], Vec::new()).await;
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "application/vnd.kubernetes.protobuf;stream=watch",
        "{path}"
    );
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(20), body.frame())
            .await
            .unwrap();
        bytes.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
        while bytes.len() >= 4 && bytes.len() - 4 >= length(&bytes) {
            let event: Vec<u8> = bytes.drain(..4 + length(&bytes)).skip(4).collect();
            let start = event.windows(4).position(|part| part == b"k8s\0").unwrap();
            let object = decode(&event[start..]).unwrap();
            if event.starts_with(b"\x0a\x08BOOKMARK") {
                let metadata = &object["metadata"];
                assert_eq!(
                    metadata["annotations"]["k8s.io/initial-events-end"], "true",
                    "{path}"
                );
                return metadata["resourceVersion"].as_str().unwrap().to_owned();
            }
            assert!(event.starts_with(b"\x0a\x05ADDED"), "{path}");
        }
    }
}

fn length(frame: &[u8]) -> usize {
    u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize
}

fn with(path: &str, query: &str) -> String {
    format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
}

async fn informers_sync(api: &Api, paths: &[&str], accept: &str) {
    for path in paths {
        let version = synced(api, &with(path, WATCH_LIST), accept).await;
        let resumed = with(
            path,
            &format!("allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=1&watch=true"),
        );
        let response = api.open("GET", &resumed, &[(ACCEPT, accept)], Vec::new()).await;
        assert_eq!(response.status(), 200, "{resumed}");
        // What older reflectors ask, and newer ones where a WatchList fails.
        let listed = api
            .open(
                "GET",
                &with(path, "limit=500&resourceVersion=0"),
                &[(ACCEPT, accept)],
                Vec::new(),
            )
            .await;
        assert_eq!(
            (listed.status().as_u16(), &listed.headers()[CONTENT_TYPE]),
            (200, &MEDIA_TYPE.parse().unwrap()),
            "{path}"
        );
    }
}

/// A create as client-go's typed clients send it.
async fn create(api: &Api, path: &str, object: &Value) -> (u16, Value) {
    send(api, "POST", path, object).await
}

async fn send(api: &Api, method: &str, path: &str, object: &Value) -> (u16, Value) {
    let text = |name: &str| object[name].as_str().unwrap();
    let kind = Kind::find(text("apiVersion"), text("kind")).unwrap();
    let mut body = Vec::new();
    kind.write(object.to_string().as_bytes(), &mut body).unwrap();
    let headers = [(CONTENT_TYPE, MEDIA_TYPE), (ACCEPT, CLIENT_GO)];
    let response = api.open(method, path, &headers, body).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, decode(&bytes).unwrap())
}

/// Both elect a leader by a Lease, look up who may ask them, and answer questions about callers by reviews.
async fn takes_the_lead_and_asks_about_callers(api: &Api, name: &str) {
    api.server
        .publish_authorities("clients", "proxies")
        .await
        .unwrap();
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let found = api.get_as(path, "application/json").await;
    assert_eq!(found.body["data"]["client-ca-file"], "clients");
    assert_eq!(
        found.body["data"]["requestheader-username-headers"],
        "[\"X-Remote-User\"]"
    );

    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    assert_eq!(api.get_as(&format!("{leases}/{name}"), CLIENT_GO).await.code, 404);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0,
            "acquireTime": "2026-01-02T03:04:05.000001Z", "renewTime": "2026-01-02T03:04:05.000001Z"},
    });
    let (code, mut made) = create(api, leases, &lease).await;
    assert_eq!(
        (code, &made["spec"]["holderIdentity"]),
        (201, &json!("a")),
        "{made}"
    );
    made["spec"]["renewTime"] = json!("2026-01-02T03:04:07.000001Z");
    let (code, renewed) = send(api, "PUT", &format!("{leases}/{name}"), &made).await;
    assert_eq!(
        (code, &renewed["spec"]["renewTime"]),
        (200, &made["spec"]["renewTime"])
    );

    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "nobody's"}});
    let (code, answer) = create(api, "/apis/authentication.k8s.io/v1/tokenreviews", &review).await;
    assert_eq!(
        (code, &answer["status"]["authenticated"]),
        (201, &Value::Null),
        "{answer}"
    );
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": "system:kube-scheduler", "nonResourceAttributes": {"path": "/metrics", "verb": "get"}},
    });
    let (code, answer) = create(api, "/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await;
    assert_eq!(
        (code, &answer["status"]["allowed"]),
        (201, &json!(true)),
        "{answer}"
    );
}

#[tokio::test]
async fn what_the_scheduler_asks_is_answered() {
    let api = Api::start().await;
    bound_pod(&api, "bound").await;
    let scheduler = api.as_user("system:kube-scheduler", "components");
    takes_the_lead_and_asks_about_callers(&scheduler, "kube-scheduler").await;
    informers_sync(&scheduler, &SCHEDULER, CLIENT_GO).await;

    api.post(PODS, &pod("p")).await;
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p", "namespace": "default"},
        "target": {"kind": "Node", "name": "n1"},
    });
    let (code, answer) = create(&scheduler, &format!("{PODS}/p/binding"), &binding).await;
    assert_eq!((code, &answer["status"]), (201, &json!("Success")), "{answer}");
    let condition = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}});
    let status = scheduler
        .patch(
            &format!("{PODS}/p/status"),
            "strategic-merge-patch+json",
            &condition,
        )
        .await;
    assert_eq!(status.code, 200, "{}", status.body);
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "p.1", "namespace": "default"},
        "eventTime": "2026-01-02T03:04:05.000001Z", "reportingController": "default-scheduler",
        "reportingInstance": "default-scheduler-a", "action": "Binding", "reason": "Scheduled", "type": "Normal",
        "note": "Successfully assigned default/p to n1",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p", "apiVersion": "v1"},
    });
    let (code, answer) = create(
        &scheduler,
        "/apis/events.k8s.io/v1/namespaces/default/events",
        &event,
    )
    .await;
    assert_eq!((code, &answer["reason"]), (201, &json!("Scheduled")), "{answer}");
}

#[tokio::test]
async fn what_the_controller_manager_asks_is_answered() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await;
    let manager = api.as_user("system:kube-controller-manager", "components");
    takes_the_lead_and_asks_about_callers(&manager, "kube-controller-manager").await;
    informers_sync(&manager, &SCHEDULER, CLIENT_GO).await;
    informers_sync(&manager, &CONTROLLER_MANAGER, CLIENT_GO).await;
    // Its controllers each have an account of their own, whose token it asks for.
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployment-controller"}});
    let accounts = "/api/v1/namespaces/kube-system/serviceaccounts";
    assert_eq!(create(&manager, accounts, &account).await.0, 201);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
    let (code, answer) = create(
        &manager,
        &format!("{accounts}/deployment-controller/token"),
        &request,
    )
    .await;
    assert!(code == 201 && answer["status"]["token"].is_string(), "{answer}");
}

/// The collector of garbage and the quota controller discover what there is and watch the metadata of all of it.
#[tokio::test]
async fn all_that_discovery_names_can_be_watched_as_metadata() {
    let api = Api::start().await;
    let manager = api.as_user("system:kube-controller-manager", "components");
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let accept = format!(
        "{MEDIA_TYPE};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
    );
    let mut watched = 0;
    for root in ["/api", "/apis"] {
        let groups = manager.get_as(root, aggregated).await.body;
        for group in groups["items"].as_array().unwrap() {
            let name = group["metadata"]["name"]
                .as_str()
                .map(|name| format!("/{name}"))
                .unwrap_or_default();
            for version in group["versions"].as_array().unwrap() {
                for resource in version["resources"].as_array().unwrap() {
                    let verbs = resource["verbs"].as_array().unwrap();
                    if !verbs.contains(&json!("watch")) {
                        continue;
                    }
                    let (version, plural) = (
                        version["version"].as_str().unwrap(),
                        resource["resource"].as_str().unwrap(),
                    );
                    let path = format!("{root}{name}/{version}/{plural}");
                    synced(&manager, &with(&path, WATCH_LIST), &accept).await;
                    watched += 1;
                }
            }
        }
    }
    assert!(watched > 45, "{watched}");
}

/// A program with a dynamic client and a shared informer factory: JSON, discovery, one page after the other.
#[tokio::test]
async fn what_a_plain_client_go_program_asks_is_answered() {
    let api = Api::start().await;
    for path in [
        "/version",
        "/healthz",
        "/readyz",
        "/openapi/v2",
        "/openapi/v3",
        "/api",
        "/apis",
        "/apis/apps",
        "/api/v1",
        "/apis/apps/v1",
    ] {
        assert_eq!(
            api.get_as(path, "application/json, */*").await.code,
            200,
            "{path}"
        );
    }
    for name in ["a", "b", "c"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let mut events = api
        .watch_as(&with(CONFIG_MAPS, WATCH_LIST), "application/json")
        .await;
    for name in ["a", "b", "c"] {
        assert_eq!(events.words().await, format!("ADDED {name}"));
    }
    let bookmark = events.next().await.unwrap();
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    let page = api.get(&format!("{CONFIG_MAPS}?limit=2&resourceVersion=0")).await;
    assert_eq!(page.code, 200);
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "list", "resource": "configmaps", "namespace": "default"}},
    });
    let (code, answer) = create(&api, reviews, &review).await;
    assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(true)));
}
