use super::*;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, spec: &Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    object["spec"]["ports"] = json!([{"port": 80}]);
    object
}

#[tokio::test]
async fn the_api_itself_is_the_first_service() {
    let api = Api::start().await;
    let found = api.get(&format!("{SERVICES}/kubernetes")).await.body;
    assert_eq!(found["spec"]["clusterIP"], "10.43.0.1");
    let endpoints = api
        .get("/api/v1/namespaces/default/endpoints/kubernetes")
        .await
        .body;
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "10.0.0.1");
}

#[tokio::test]
async fn the_dns_server_has_a_service_at_a_reserved_address() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/kube-system/services/kube-dns";
    let found = api.get(path).await.body;
    assert_eq!(found["spec"]["clusterIP"], "10.43.0.10");
    assert_eq!(found["metadata"]["labels"]["k8s-app"], "kube-dns");
    assert_eq!(found["spec"].get("selector"), None);
    let ports = found["spec"]["ports"].as_array().unwrap();
    let ports: Vec<String> = ports
        .iter()
        .map(|port| format!("{} {}", port["name"], port["protocol"]))
        .collect();
    assert_eq!(ports, [r#""dns" "UDP""#, r#""dns-tcp" "TCP""#]);
    let taken = service("a", &json!({"clusterIP": "10.43.0.10"}));
    assert_eq!(api.post(SERVICES, &taken).await.code, 422);
}

#[tokio::test]
async fn a_dns_service_of_the_operators_own_is_left_alone() {
    let api = Api::start().await;
    api.delete("/api/v1/namespaces/kube-system/services/kube-dns")
        .await;
    let own = service("coredns", &json!({"clusterIP": "10.43.0.10"}));
    assert_eq!(api.post(SERVICES, &own).await.code, 201);
    let wanted = Bootstrap {
        advertise: "10.0.0.1:6443".parse().unwrap(),
        token: None,
    };
    api.server.bootstrap(&wanted).await.unwrap();
    let kept = api.get(&format!("{SERVICES}/coredns")).await.body;
    assert_eq!(kept["spec"]["clusterIP"], "10.43.0.10");
}

#[tokio::test]
async fn an_address_is_given_kept_and_given_back() {
    let api = Api::start().await;
    let created = api.post(SERVICES, &service("a", &json!({}))).await.body;
    let address = created["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.43."), "{created}");
    assert_eq!(created["spec"]["clusterIPs"], json!([address]));
    let kept = api.put(&format!("{SERVICES}/a"), &service("a", &json!({}))).await;
    assert_eq!(kept.body["spec"]["clusterIP"], address.as_str(), "{}", kept.body);
    let wanted = service("b", &json!({"clusterIP": address}));
    assert_eq!(api.post(SERVICES, &wanted).await.code, 422);
    api.delete(&format!("{SERVICES}/a")).await;
    assert_eq!(api.post(SERVICES, &wanted).await.code, 201);
}

#[tokio::test]
async fn an_address_outside_the_range_is_refused() {
    let api = Api::start().await;
    let refused = api
        .post(SERVICES, &service("a", &json!({"clusterIP": "192.0.2.1"})))
        .await;
    assert_eq!(
        (
            refused.code,
            refused.body["details"]["causes"][0]["field"].as_str()
        ),
        (422, Some("spec.clusterIPs[0]"))
    );
}

#[tokio::test]
async fn headless_and_external_services_hold_no_address() {
    let api = Api::start().await;
    let headless = api
        .post(SERVICES, &service("h", &json!({"clusterIP": "None"})))
        .await
        .body;
    assert_eq!(headless["spec"]["clusterIP"], "None");
    let external = json!({"type": "ExternalName", "externalName": "example.com"});
    let external = api.post(SERVICES, &service("e", &external)).await.body;
    assert_eq!(external["spec"].get("clusterIP"), None);
}

#[tokio::test]
async fn node_ports_are_unique_and_given_back() {
    let api = Api::start().await;
    let spec = json!({"type": "NodePort"});
    let first = api.post(SERVICES, &service("a", &spec)).await.body;
    let port = first["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30_000..=32_767).contains(&port));
    let mut same = service("b", &spec);
    same["spec"]["ports"][0]["nodePort"] = json!(port);
    assert_eq!(api.post(SERVICES, &same).await.code, 422);
    api.delete(&format!("{SERVICES}/a")).await;
    assert_eq!(api.post(SERVICES, &same).await.code, 201);
}

#[tokio::test]
async fn a_service_that_becomes_a_cluster_ip_gives_its_node_port_back() {
    let api = Api::start().await;
    let first = api
        .post(SERVICES, &service("a", &json!({"type": "NodePort"})))
        .await
        .body;
    let patch = json!({"spec": {"type": "ClusterIP"}});
    let path = format!("{SERVICES}/a");
    let changed = api.patch(&path, "strategic-merge-patch+json", &patch).await;
    assert_eq!(changed.code, 200, "{}", changed.body);
    assert_eq!(changed.body["spec"]["ports"][0].get("nodePort"), None);
    let mut same = service("b", &json!({"type": "NodePort"}));
    same["spec"]["ports"][0]["nodePort"] = first["spec"]["ports"][0]["nodePort"].clone();
    assert_eq!(api.post(SERVICES, &same).await.code, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn services_created_at_once_never_share_an_address() {
    let api = Api::start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let api = api.clone();
        tasks.spawn(async move {
            let created = api
                .post(SERVICES, &service(&format!("s{number}"), &json!({})))
                .await;
            created.body["spec"]["clusterIP"].as_str().unwrap().to_owned()
        });
    }
    let addresses = tasks.join_all().await;
    let distinct: std::collections::BTreeSet<&String> = addresses.iter().collect();
    assert_eq!(distinct.len(), addresses.len());
}
