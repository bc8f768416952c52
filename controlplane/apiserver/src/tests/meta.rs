//! What the server says of itself. Conformance: "Discovery", "AggregatedDiscovery", "server version", "Kubectl
//! api-versions", "Kubectl version".

use http::header::{ETAG, IF_NONE_MATCH};

use super::*;

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2_BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// A body that is text.
async fn text(api: &Api, path: &str) -> (u16, String) {
    let response = api.open("GET", path, &[], Vec::new()).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(bytes.to_vec()).unwrap())
}

/// Conformance: "Discovery should validate PreferredVersion for each APIGroup".
#[tokio::test]
async fn each_group_prefers_one_of_its_own_versions() {
    let api = Api::start().await;
    let list = api.get("/apis").await.body;
    for group in list["groups"].as_array().unwrap() {
        let preferred = &group["preferredVersion"];
        assert!(
            group["versions"].as_array().unwrap().contains(preferred),
            "{group}"
        );
        let name = group["name"].as_str().unwrap();
        let alone = api.get(&format!("/apis/{name}")).await.body;
        assert_eq!(&alone["preferredVersion"], preferred);
        let slash = api.get(&format!("/apis/{name}/")).await.body;
        assert_eq!(slash, alone);
    }
}

/// Conformance: "Discovery should locate the groupVersion and a resource within each APIGroup".
#[tokio::test]
async fn each_version_of_a_group_lists_its_resources_with_their_storage() {
    let api = Api::start().await;
    for (path, resource) in [
        ("/api/v1", "pods"),
        ("/apis/apps/v1", "deployments"),
        ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
        ("/apis/coordination.k8s.io/v1", "leases"),
    ] {
        let list = api.get(path).await.body;
        let found = list["resources"].as_array().unwrap();
        assert!(found.iter().any(|r| r["name"] == resource), "{path}");
    }
    let core = api.get("/api/v1").await.body;
    let pods = core["resources"].as_array().unwrap();
    let pods = pods.iter().find(|r| r["name"] == "pods").unwrap();
    // The hash that every Kubernetes cluster shows for pods.
    assert_eq!(pods["storageVersionHash"], "xPOwRZ+Yhw8=");
}

/// Conformance: "AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers" and "AggregatedDiscovery
/// should support aggregated discovery interface".
#[tokio::test]
async fn aggregated_discovery_is_one_document_in_the_version_asked_for() {
    let api = Api::start().await;
    for path in ["/api", "/apis"] {
        for (accept, version) in [(V2, "v2"), (V2_BETA, "v2beta1")] {
            let answer = api.get_as(path, accept).await;
            assert_eq!(
                answer.body["apiVersion"],
                format!("apidiscovery.k8s.io/{version}")
            );
            assert_eq!(answer.headers["content-type"], accept);
            assert_eq!(answer.headers["vary"], "Accept");
        }
        let plain = api.get_as(path, "application/json").await.body;
        assert_ne!(plain["kind"], "APIGroupDiscoveryList");
        assert_eq!(api.get_as(path, "application/xml").await.code, 406);
    }
    let core = api.get_as("/api", V2).await.body;
    let resources = core["items"][0]["versions"][0]["resources"]
        .as_array()
        .unwrap()
        .clone();
    let pods = resources.iter().find(|r| r["resource"] == "pods").unwrap();
    assert_eq!(
        pods["responseKind"],
        json!({"group": "", "version": "v1", "kind": "Pod"})
    );
    let eviction = pods["subresources"].as_array().unwrap();
    let eviction = eviction
        .iter()
        .find(|part| part["subresource"] == "eviction")
        .unwrap();
    assert_eq!(
        eviction["responseKind"],
        json!({"group": "policy", "version": "v1", "kind": "Eviction"})
    );
}

#[tokio::test]
async fn discovery_that_a_client_has_already_is_not_sent_again() {
    let api = Api::start().await;
    for (path, accept) in [("/api", V2), ("/apis", V2), ("/apis", V2_BETA)] {
        let first = api.get_as(path, accept).await;
        let etag = first.headers[ETAG].to_str().unwrap().to_owned();
        for known in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"old\", {etag}"),
            "*".to_owned(),
        ] {
            let headers = [(ACCEPT, accept), (IF_NONE_MATCH, known.as_str())];
            let again = api.send("GET", path, &headers, Vec::new()).await;
            assert_eq!((again.code, again.body), (304, Value::Null), "{known}");
        }
        let headers = [(ACCEPT, accept), (IF_NONE_MATCH, "\"other\"")];
        assert_eq!(api.send("GET", path, &headers, Vec::new()).await.code, 200);
    }
}

#[tokio::test]
async fn an_openapi_document_named_by_its_hash_never_changes() {
    let api = Api::start().await;
    let index = api.get("/openapi/v3").await.body;
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = api.get(url).await;
    assert!(
        document.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let etag = document.headers[ETAG].to_str().unwrap().to_owned();
    let known = [(IF_NONE_MATCH, etag.as_str())];
    assert_eq!(api.send("GET", url, &known, Vec::new()).await.code, 304);
    let stale = api.get("/openapi/v3/api/v1?hash=OLD").await;
    assert_eq!(stale.code, 301);
    assert_eq!(stale.headers["location"], url);
    assert_eq!(api.get("/openapi/v3/apis/none/v1").await.code, 404);
}

/// Conformance: "server version should find the server version".
#[tokio::test]
async fn the_version_names_major_and_minor() {
    let api = Api::start().await;
    for path in ["/version", "/version/"] {
        let version = api.get(path).await.body;
        assert_eq!(
            (&version["major"], &version["minor"]),
            (&json!("1"), &json!("36"))
        );
        assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.36."));
    }
}

#[tokio::test]
async fn health_names_each_check_and_answers_for_one() {
    let api = Api::start().await;
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(text(&api, path).await, (200, "ok".to_owned()));
        for check in ["ping", "etcd", "poststarthook/start-system-namespaces-controller"] {
            assert_eq!(
                text(&api, &format!("{path}/{check}")).await,
                (200, "ok".to_owned())
            );
        }
        assert_eq!(text(&api, &format!("{path}/nothing")).await.0, 404);
    }
    assert_eq!(text(&api, "/livez/shutdown").await.0, 404);
    let (code, verbose) = text(&api, "/readyz?verbose&exclude=etcd&exclude=nothing").await;
    assert_eq!(code, 200);
    let expected = "[+]ping ok\n[+]etcd excluded: ok\n[+]etcd-readiness ok\n\
                    [+]poststarthook/start-system-namespaces-controller ok\n[+]shutdown ok\n\
                    warn: some health checks cannot be excluded: no matches for \"nothing\"\nreadyz check passed\n";
    assert_eq!(verbose, expected);
}

#[tokio::test]
async fn a_server_that_stops_is_alive_and_not_ready() {
    let api = Api::start().await;
    api.server.drain().await;
    let (code, why) = text(&api, "/readyz").await;
    assert_eq!(code, 500);
    assert!(
        why.contains("[-]shutdown failed: reason withheld\n") && why.ends_with("readyz check failed\n"),
        "{why}"
    );
    assert_eq!(text(&api, "/livez").await.0, 200);
    assert_eq!(text(&api, "/readyz?exclude=shutdown").await.0, 200);
    let one = text(&api, "/readyz/shutdown").await;
    assert_eq!(
        one,
        (
            500,
            "internal server error: process is shutting down\n".to_owned()
        )
    );
}

#[tokio::test]
async fn the_root_names_every_path_that_answers() {
    let api = Api::start().await;
    let paths = api.get("/").await.body["paths"].as_array().unwrap().clone();
    for path in &paths {
        let path = path.as_str().unwrap();
        // Without a disk there is nothing to back up, and without keys nobody to tell of.
        if !path.contains("/openid") && path != "/backup" {
            assert_eq!(text(&api, path).await.0, 200, "{path}");
        }
    }
    for path in [
        "/api/v1",
        "/apis/apps",
        "/apis/apps/v1",
        "/readyz/etcd-readiness",
        "/version",
    ] {
        assert!(paths.contains(&json!(path)), "{path}");
    }
    let refused = api.as_user("alice", "users").get("/").await;
    assert_eq!(
        (refused.code, &refused.body["message"]),
        (403, &json!("forbidden: User \"alice\" cannot get path \"/\""))
    );
}

#[tokio::test]
async fn a_collection_is_neither_replaced_nor_patched_and_what_has_a_name_is_not_posted_to() {
    let api = Api::start().await;
    let one = format!("{CONFIG_MAPS}/a");
    for (method, path) in [("PUT", CONFIG_MAPS), ("PATCH", CONFIG_MAPS), ("POST", &one)] {
        let refused = api.send(method, path, &[], b"{}".to_vec()).await;
        assert_eq!(
            (refused.code, &refused.body["reason"]),
            (405, &json!("MethodNotAllowed")),
            "{method} {path}"
        );
    }
}
