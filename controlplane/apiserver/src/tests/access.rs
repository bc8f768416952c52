use super::*;

/// Sends a request as one who came over the network, with nothing to show but `headers`.
async fn from_outside(api: &Api, path: &str, headers: &[(http::HeaderName, &str)]) -> u16 {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let Ok(response) = Service::<Request<Body>>::call(&mut api.server.router(), request).await;
    response.status().as_u16()
}

const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

#[tokio::test]
async fn who_shows_nothing_sees_only_version_and_health() {
    let api = Api::start().await;
    for path in ["/version", "/livez", "/readyz", "/healthz"] {
        assert_eq!(from_outside(&api, path, &[]).await, 200, "{path}");
    }
    for path in ["/api", "/apis", "/openapi/v3", "/api/v1/pods", "/nonsense", CSRS] {
        assert_eq!(from_outside(&api, path, &[]).await, 401, "{path}");
    }
}

#[tokio::test]
async fn a_token_that_is_nobodys_opens_not_even_what_is_open_to_everybody() {
    let api = Api::start().await;
    for path in ["/version", "/livez"] {
        let bad = [(http::header::AUTHORIZATION, "Bearer abc123")];
        assert_eq!(from_outside(&api, path, &bad).await, 401, "{path}");
        let other = [(http::header::AUTHORIZATION, "Basic YTpi")];
        assert_eq!(from_outside(&api, path, &other).await, 200, "{path}");
    }
}

#[tokio::test]
async fn a_bootstrap_token_opens_certificate_requests_and_nothing_else() {
    let api = Api::start().await;
    let good = [(http::header::AUTHORIZATION, "Bearer abcdef.0123456789abcdef")];
    assert_eq!(from_outside(&api, CSRS, &good).await, 200);
    for path in ["/api/v1/pods", "/api/v1/secrets", "/api/v1/nodes", "/nonsense"] {
        assert_eq!(from_outside(&api, path, &good).await, 403, "{path}");
    }
    let bad = [(http::header::AUTHORIZATION, "Bearer abcdef.0123456789abcdeX")];
    assert_eq!(from_outside(&api, CSRS, &bad).await, 401);
    let wrong = [(http::header::AUTHORIZATION, "Bearer abcdef.aaaaaaaaaaaaaaaa")];
    assert_eq!(from_outside(&api, CSRS, &wrong).await, 401);
}

#[tokio::test]
async fn an_expired_bootstrap_token_is_worth_nothing() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef";
    // "2026-01-02T04:00:00Z" in base64.
    let patch = json!({"data": {"expiration": "MjAyNi0wMS0wMlQwNDowMDowMFo="}});
    assert_eq!(api.patch(path, "merge-patch+json", &patch).await.code, 200);
    let shown = [(http::header::AUTHORIZATION, "Bearer abcdef.0123456789abcdef")];
    assert_eq!(from_outside(&api, CSRS, &shown).await, 200);
    api.clock.advance(3600);
    assert_eq!(from_outside(&api, CSRS, &shown).await, 401);
}

#[tokio::test]
async fn an_unknown_user_is_forbidden_in_upstreams_words() {
    let api = Api::start().await.as_user("eve", "dev");
    let answer = api.get(PODS).await;
    let words = r#"pods is forbidden: User "eve" cannot list resource "pods" in API group "" in the namespace "default""#;
    assert_eq!((answer.code, answer.body["message"].as_str()), (403, Some(words)));
    assert_eq!(api.get("/api").await.code, 200);
}

#[tokio::test]
async fn a_node_writes_only_itself_and_its_own_pods() {
    let api = Api::start().await;
    bound_pod(&api, "mine").await;
    api.post(PODS, &pod("other")).await;
    let node = api.as_user("system:node:n1", "system:nodes");
    let object = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    assert_eq!(node.post("/api/v1/nodes", &object("n2")).await.code, 403);
    assert_eq!(node.post("/api/v1/nodes", &object("n1")).await.code, 201);
    let status = json!({"status": {"phase": "Running"}});
    let patch = |name: &str| format!("{PODS}/{name}/status");
    assert_eq!(
        node.patch(&patch("mine"), "merge-patch+json", &status).await.code,
        200
    );
    assert_eq!(
        node.patch(&patch("other"), "merge-patch+json", &status)
            .await
            .code,
        403
    );
    assert_eq!(node.delete(&format!("{PODS}/other")).await.code, 403);
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1"}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(node.post(leases, &lease).await.code, 201);
    let tainted = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    assert_eq!(
        node.patch("/api/v1/nodes/n1", "merge-patch+json", &tainted)
            .await
            .code,
        403
    );
}

#[tokio::test]
async fn a_node_takes_no_pod_network_but_a_free_one_of_the_cluster() {
    let api = Api::start().await;
    let object = |name: &str, network: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": network}});
    let nodes = "/api/v1/nodes";
    // Administrators and the controller may write others.
    assert_eq!(api.post(nodes, &object("odd", "192.0.2.0/24")).await.code, 201);
    let one = api.as_user("system:node:n1", "system:nodes");
    for (network, code) in [
        ("10.88.0.0/24", 403),
        ("10.42.0.0/16", 403),
        ("10.42.1.0/24", 201),
    ] {
        assert_eq!(
            one.post(nodes, &object("n1", network)).await.code,
            code,
            "{network}"
        );
    }
    let two = api.as_user("system:node:n2", "system:nodes");
    let refused = two.post(nodes, &object("n2", "10.42.1.0/24")).await;
    let words = r#"nodes "n2" is forbidden: node "n2" may not take the pod network 10.42.1.0/24: node "n1" has 10.42.1.0/24 (key pod_cidr of the agent)"#;
    assert_eq!(
        (refused.code, refused.body["message"].as_str()),
        (403, Some(words))
    );
    assert_eq!(
        two.post(
            nodes,
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}})
        )
        .await
        .code,
        201
    );
    for (network, code) in [
        ("10.43.0.0/24", 403),
        ("10.42.1.0/24", 403),
        ("10.42.2.0/24", 200),
    ] {
        let patch = json!({"spec": {"podCIDR": network, "podCIDRs": [network]}});
        let answer = two.patch("/api/v1/nodes/n2", "merge-patch+json", &patch).await;
        assert_eq!(answer.code, code, "{network}: {}", answer.body);
    }
    // What it has it keeps, whatever else it writes.
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(
        two.patch("/api/v1/nodes/n2", "merge-patch+json", &label)
            .await
            .code,
        200
    );
}

#[tokio::test]
async fn a_node_reads_only_the_secrets_that_its_pods_name() {
    let api = Api::start().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    for name in ["used", "unused"] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        assert_eq!(api.post(secrets, &secret).await.code, 201);
    }
    let mut user_of_secret = pod("p");
    user_of_secret["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "used"}}]);
    assert_eq!(api.post(PODS, &user_of_secret).await.code, 201);
    let node = api.as_user("system:node:n1", "system:nodes");
    assert_eq!(node.get(&format!("{secrets}/used")).await.code, 403);
    let binding =
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n1"}});
    api.post(&format!("{PODS}/p/binding"), &binding).await;
    assert_eq!(node.get(&format!("{secrets}/used")).await.code, 200);
    assert_eq!(node.get(&format!("{secrets}/unused")).await.code, 403);
    assert_eq!(node.get(secrets).await.code, 403);
}

#[tokio::test]
async fn exec_by_get_needs_the_verb_create() {
    let api = Api::start().await;
    bound_pod(&api, "p").await;
    let eve = api.as_user("eve", "dev");
    let answer = eve.get(&format!("{PODS}/p/exec?command=sh")).await;
    assert!(
        answer.body["message"]
            .as_str()
            .unwrap()
            .contains("cannot create resource \"pods/exec\""),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn metrics_are_told_in_the_text_that_prometheus_reads_and_only_to_those_who_may_ask() {
    let api = Api::start().await;
    assert_eq!(from_outside(&api, "/metrics", &[]).await, 401);
    let eve = api.as_user("eve", "dev").get("/metrics").await;
    let words = r#"forbidden: User "eve" cannot get path "/metrics""#;
    assert_eq!((eve.code, eve.body["message"].as_str()), (403, Some(words)));
    let response = api.open("GET", "/metrics", &[], Vec::new()).await;
    let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text;"), "{kind}");
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(
        text.contains("# TYPE store_things counter\nstore_things_total 7\n"),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
}
