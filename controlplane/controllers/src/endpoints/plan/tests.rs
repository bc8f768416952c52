use serde_json::{Value, json};

use super::*;
use crate::endpoints::subsets::CAPACITY;

fn service(spec: Value) -> Service {
    let mut service = json!({
        "metadata": { "name": "web", "namespace": "default", "labels": { "tier": "front" } },
        "spec": {
            "selector": { "app": "web" }, "clusterIP": "10.43.0.7", "ipFamilies": ["IPv4"],
            "ports": [{ "name": "http", "port": 80, "targetPort": "web", "protocol": "TCP" }],
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    serde_json::from_value(service).unwrap()
}

fn pod(number: usize, port: u16, ready: bool) -> Arc<Backend> {
    let address = format!("10.42.{}.{}", number / 250, number % 250);
    let pod = json!({
        "metadata": { "name": format!("pod-{number}"), "namespace": "default" },
        "spec": { "nodeName": "n1", "containers": [
            { "name": "c", "ports": [{ "name": "web", "containerPort": port }] },
        ] },
        "status": { "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    });
    Arc::new(Backend::read(&serde_json::from_value(pod).unwrap()))
}

fn created(service: &Service, pods: &[Arc<Backend>]) -> Endpoints {
    let Step::Create(endpoints) = plan(service, pods, None) else {
        panic!("nothing exists yet");
    };
    endpoints
}

/// Ports with ready and waiting addresses of each subset.
fn shape(endpoints: &Endpoints) -> Vec<(Vec<i32>, usize, usize)> {
    let length = |list: &Option<Vec<_>>| list.as_ref().map_or(0, Vec::len);
    let subsets = endpoints.subsets.iter().flatten();
    subsets
        .map(|subset| {
            let ports = subset.ports.iter().flatten().map(|port| port.port).collect();
            (
                ports,
                length(&subset.addresses),
                length(&subset.not_ready_addresses),
            )
        })
        .collect()
}

#[test]
fn ready_and_waiting_pods_share_a_subset_and_other_ports_make_another() {
    let pods = [pod(1, 80, true), pod(2, 80, false), pod(3, 81, true)];
    let endpoints = created(&service(json!({})), &pods);
    assert_eq!(shape(&endpoints), [(vec![80], 1, 1), (vec![81], 1, 0)]);
}

#[test]
fn an_applied_plan_leaves_nothing_to_plan() {
    let pods = [pod(1, 80, true), pod(2, 80, false)];
    let service = service(json!({}));
    let endpoints = created(&service, &pods);
    assert_eq!(plan(&service, &pods, Some(&endpoints)), Step::Nothing);
    assert!(matches!(
        plan(&service, &pods[..1], Some(&endpoints)),
        Step::Update(_)
    ));
    assert!(is_managed(&endpoints));
}

#[test]
fn a_headless_service_without_ports_has_addresses_all_the_same() {
    let headless = service(json!({ "clusterIP": "None", "ports": [] }));
    let endpoints = created(&headless, &[pod(1, 80, true)]);
    assert_eq!(shape(&endpoints), [(vec![], 1, 0)]);
    assert!(endpoints.metadata.labels.unwrap().contains_key(HEADLESS));
    let plain = created(&service(json!({ "ports": [] })), &[pod(1, 80, true)]);
    assert_eq!(shape(&plain), []);
}

#[test]
fn addresses_that_are_not_ready_are_published_where_the_service_says_so() {
    let publishing = service(json!({ "publishNotReadyAddresses": true }));
    assert_eq!(
        shape(&created(&publishing, &[pod(1, 80, false)])),
        [(vec![80], 1, 0)]
    );
}

#[test]
fn beyond_a_thousand_addresses_waiting_ones_go_first_and_an_annotation_says_so() {
    let pods: Vec<_> = (0..1300).map(|n| pod(n, 80, n < 900)).collect();
    let endpoints = created(&service(json!({})), &pods);
    assert_eq!(shape(&endpoints), [(vec![80], 900, 100)]);
    let annotation = meta::annotation(&endpoints.metadata, OVER_CAPACITY);
    assert_eq!(annotation, Some("truncated"));
    let again = plan(&service(json!({})), &pods[..10], Some(&endpoints));
    let Step::Update(fewer) = again else {
        panic!("{again:?}");
    };
    assert_eq!(meta::annotation(&fewer.metadata, OVER_CAPACITY), None);
}

#[test]
fn truncated_subsets_keep_their_proportions() {
    let pods: Vec<_> = (0..3000)
        .map(|n| pod(n, if n % 3 == 0 { 80 } else { 81 }, true))
        .collect();
    let endpoints = created(&service(json!({})), &pods);
    assert_eq!(
        shape(&endpoints),
        [(vec![80], 334, 0), (vec![81], CAPACITY - 334, 0)]
    );
}
