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
    let servers = ["10.0.0.1:6443", "10.0.0.2:6443"].map(|at| at.parse().unwrap());
    api.server.publish(&servers.into()).await.unwrap();
    let endpoints = api
        .get("/api/v1/namespaces/default/endpoints/kubernetes")
        .await
        .body;
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "10.0.0.1");
    let slice = api
        .get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
        .await
        .body;
    assert_eq!(slice["endpoints"][1]["addresses"][0], "10.0.0.2");
    assert_eq!(slice["ports"][0]["port"], 6443);
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
    for address in ["192.0.2.1", "10.43.0.0", "10.43.255.255"] {
        let refused = api
            .post(SERVICES, &service("a", &json!({"clusterIP": address})))
            .await;
        assert_eq!(refused.code, 422);
        let message = format!(
            "Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"{address}\"]: failed to allocate IP {address}: the \
             provided IP ({address}) is not in the valid range. The range of valid IPs is 10.43.0.0/16"
        );
        assert_eq!(refused.body["message"], message);
    }
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
async fn a_change_of_type_takes_and_gives_back_addresses() {
    let api = Api::start().await;
    let path = format!("{SERVICES}/a");
    let created = api.post(SERVICES, &service("a", &json!({}))).await.body;
    let address = created["spec"]["clusterIP"].clone();
    let name = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let named = api.patch(&path, "merge-patch+json", &name).await;
    assert_eq!(
        (named.code, named.body["spec"].get("clusterIP")),
        (200, None),
        "{}",
        named.body
    );
    let other = service("b", &json!({"clusterIP": address}));
    assert_eq!(
        api.post(SERVICES, &other).await.code,
        201,
        "the address is free again"
    );
    let back = json!({"spec": {"type": "ClusterIP", "externalName": null}});
    let back = api.patch(&path, "merge-patch+json", &back).await.body;
    assert!(
        back["spec"]["clusterIP"].as_str().unwrap().starts_with("10.43."),
        "{back}"
    );
    assert_ne!(back["spec"]["clusterIP"], address);
    assert_eq!(back["spec"]["ipFamilies"], json!(["IPv4"]));
}

#[tokio::test]
async fn a_cluster_ip_never_changes() {
    let api = Api::start().await;
    api.post(SERVICES, &service("a", &json!({"clusterIP": "10.43.0.20"})))
        .await;
    for wish in ["10.43.0.21", "None"] {
        let patch = json!({"spec": {"clusterIP": wish}});
        let refused = api
            .patch(&format!("{SERVICES}/a"), "merge-patch+json", &patch)
            .await;
        let message = format!(
            "Service \"a\" is invalid: spec.clusterIPs[0]: Invalid value: [\"{wish}\"]: may not change once set"
        );
        assert_eq!(
            (refused.code, refused.body["message"].as_str()),
            (422, Some(message.as_str()))
        );
    }
}

#[tokio::test]
async fn one_port_of_two_protocols_has_one_node_port() {
    let api = Api::start().await;
    let mut object = service("a", &json!({"type": "NodePort"}));
    object["spec"]["ports"] = json!([
        {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]);
    let created = api.post(SERVICES, &object).await.body;
    let ports = &created["spec"]["ports"];
    assert!(ports[0]["nodePort"].is_u64(), "{created}");
    assert_eq!(ports[0]["nodePort"], ports[1]["nodePort"]);
}

#[tokio::test]
async fn a_load_balancer_gets_the_ports_that_it_asks_for_and_gives_them_back() {
    let api = Api::start().await;
    let none = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false});
    let none = api.post(SERVICES, &service("none", &none)).await.body;
    assert_eq!(none["spec"]["ports"][0].get("nodePort"), None, "{none}");
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
    let local = api.post(SERVICES, &service("local", &local)).await.body;
    let check = local["spec"]["healthCheckNodePort"].as_u64().unwrap();
    assert!((30_000..=32_767).contains(&check));
    let mut same = service("same", &json!({"type": "NodePort"}));
    same["spec"]["ports"][0]["nodePort"] = json!(check);
    assert_eq!(api.post(SERVICES, &same).await.code, 422);
    api.delete(&format!("{SERVICES}/local")).await;
    assert_eq!(api.post(SERVICES, &same).await.code, 201);
}

#[tokio::test]
async fn a_node_port_that_is_taken_or_out_of_range_is_named() {
    let api = Api::start().await;
    let wish = |name: &str, port: u16| {
        let mut object = service(name, &json!({"type": "NodePort"}));
        object["spec"]["ports"] =
            json!([{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": port}]);
        object
    };
    assert_eq!(api.post(SERVICES, &wish("first", 30_100)).await.code, 201);
    for (port, why) in [
        (30_100, "provided port is already allocated"),
        (
            80,
            "provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
    ] {
        let refused = api.post(SERVICES, &wish("second", port)).await;
        let message =
            format!("Service \"second\" is invalid: spec.ports[1].nodePort: Invalid value: {port}: {why}");
        assert_eq!(
            (refused.code, refused.body["message"].as_str()),
            (422, Some(message.as_str()))
        );
    }
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
