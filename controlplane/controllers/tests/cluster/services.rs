//! Endpoints of Services.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Cluster, pod};

const WEB: &str = "kubernetes.io/service-name=web";

fn service(selector: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "labels": { "tier": "front" } },
        "spec": { "selector": selector, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
    })
}

async fn slices(cluster: &Cluster) -> Vec<EndpointSlice> {
    let api = cluster.api::<EndpointSlice>();
    api.list(&ListParams::default().labels(WEB)).await.unwrap().items
}

/// Addresses of the slices and whether each is ready.
async fn readiness(cluster: &Cluster) -> BTreeMap<String, bool> {
    let all = slices(cluster).await;
    let endpoints = all
        .into_iter()
        .flat_map(|slice| slice.endpoints.unwrap_or_default());
    let state = |endpoint: Endpoint| {
        let ready = endpoint.conditions.and_then(|conditions| conditions.ready);
        (endpoint.addresses.concat(), ready.unwrap_or_default())
    };
    endpoints.map(state).collect()
}

async fn serving_pod(cluster: &Cluster, name: &str, address: &str) {
    let mut object = pod(name, 10);
    object["metadata"]["labels"] = json!({ "app": "web" });
    object["spec"]["nodeName"] = json!("n1");
    cluster.create::<Pod>(object).await;
    set_ready(cluster, name, address, true).await;
}

async fn set_ready(cluster: &Cluster, name: &str, address: &str, ready: bool) {
    let status = json!({ "status": {
        "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
        "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
    } });
    cluster
        .api::<Pod>()
        .patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
        .await
        .unwrap();
}

async fn shows(cluster: &Cluster, expected: &[(&str, bool)]) {
    let expected: BTreeMap<String, bool> = expected
        .iter()
        .map(|(address, ready)| ((*address).to_owned(), *ready))
        .collect();
    let claim = format!("the slices show {expected:?}");
    cluster
        .until(&claim, || async { readiness(cluster).await == expected })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_and_endpoints_follow_readiness_and_labels() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    cluster.create::<Service>(service(json!({ "app": "web" }))).await;
    for (name, address) in [("a", "10.42.0.5"), ("b", "10.42.0.6")] {
        serving_pod(&cluster, name, address).await;
    }
    shows(&cluster, &[("10.42.0.5", true), ("10.42.0.6", true)]).await;
    set_ready(&cluster, "a", "10.42.0.5", false).await;
    shows(&cluster, &[("10.42.0.5", false), ("10.42.0.6", true)]).await;
    let endpoints = || async {
        let found = cluster.api::<Endpoints>().get_opt("web").await.unwrap();
        let subset = found.and_then(|found| found.subsets?.pop()).unwrap_or_default();
        let length = |list: Option<Vec<_>>| list.map_or(0, |list| list.len());
        (length(subset.addresses), length(subset.not_ready_addresses)) == (1, 1)
    };
    cluster.until("the Endpoints say the same", endpoints).await;
    let change = json!({ "metadata": { "labels": { "app": "debug" } } });
    let pods = cluster.api::<Pod>();
    pods.patch("b", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    shows(&cluster, &[("10.42.0.5", false)]).await;
    let all = slices(&cluster).await;
    let [slice] = &all[..] else {
        panic!("{all:?}");
    };
    let labels = slice.metadata.labels.clone().unwrap();
    assert_eq!(labels.get("tier").map(String::as_str), Some("front"));
    let manager = labels.get("endpointslice.kubernetes.io/managed-by");
    assert_eq!(
        manager.map(String::as_str),
        Some("endpointslice-controller.k8s.io")
    );
    assert!(slice.metadata.name.as_ref().unwrap().starts_with("web-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_becomes_ready_is_in_its_slice_at_once() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    cluster.create::<Service>(service(json!({ "app": "web" }))).await;
    serving_pod(&cluster, "a", "10.42.0.5").await;
    shows(&cluster, &[("10.42.0.5", true)]).await;
    let mut quickest = u128::MAX;
    for round in 0..20 {
        let ready = round % 2 == 1;
        let begun = Instant::now();
        set_ready(&cluster, "a", "10.42.0.5", ready).await;
        while readiness(&cluster).await.get("10.42.0.5") != Some(&ready) {
            tokio::task::yield_now().await;
        }
        quickest = quickest.min(begun.elapsed().as_millis());
    }
    // Upstream waits half a second before it writes; the bound leaves room for a busy machine.
    assert!(quickest < 400, "{quickest} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gone_service_leaves_neither_slices_nor_endpoints() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    cluster.create::<Service>(service(json!({ "app": "web" }))).await;
    serving_pod(&cluster, "a", "10.42.0.5").await;
    shows(&cluster, &[("10.42.0.5", true)]).await;
    let endpoints = cluster.api::<Endpoints>();
    cluster
        .until("there are Endpoints", || async {
            endpoints.get_opt("web").await.unwrap().is_some()
        })
        .await;
    let services = cluster.api::<Service>();
    services.delete("web", &DeleteParams::default()).await.unwrap();
    cluster
        .until("nothing is left", || async {
            slices(&cluster).await.is_empty() && endpoints.get_opt("web").await.unwrap().is_none()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_somebody_removes_or_changes_is_put_right() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    cluster.create::<Service>(service(json!({ "app": "web" }))).await;
    serving_pod(&cluster, "a", "10.42.0.5").await;
    shows(&cluster, &[("10.42.0.5", true)]).await;
    let api = cluster.api::<EndpointSlice>();
    let name = slices(&cluster).await[0].metadata.name.clone().unwrap();
    let forged = json!({ "endpoints": [{ "addresses": ["192.0.2.1"] }] });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(forged))
        .await
        .unwrap();
    shows(&cluster, &[("10.42.0.5", true)]).await;
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    shows(&cluster, &[("10.42.0.5", true)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_written_by_hand_are_mirrored_and_the_servers_own_slice_stays() {
    let cluster = Cluster::start().await;
    cluster.create::<Service>(service(Value::Null)).await;
    cluster
        .create::<Endpoints>(json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": "web" },
            "subsets": [{ "addresses": [{ "ip": "192.0.2.7" }], "ports": [{ "name": "http", "port": 8080 }] }],
        }))
        .await;
    shows(&cluster, &[("192.0.2.7", true)]).await;
    let slice = &slices(&cluster).await[0];
    let owner = &slice.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(owner.kind, "Endpoints");
    let api: Api<EndpointSlice> = cluster.api();
    assert!(api.get_opt("kubernetes").await.unwrap().is_some());
    let all = api.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(all.len(), 2, "{all:?}");
    let endpoints = cluster.api::<Endpoints>();
    let moved = json!({ "subsets": [{ "addresses": [{ "ip": "192.0.2.8" }], "ports": [{ "name": "http", "port": 8080 }] }] });
    endpoints
        .patch("web", &PatchParams::default(), &Patch::Merge(moved))
        .await
        .unwrap();
    shows(&cluster, &[("192.0.2.8", true)]).await;
    endpoints.delete("web", &DeleteParams::default()).await.unwrap();
    cluster
        .until("the mirror goes", || async { slices(&cluster).await.is_empty() })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_controllers_leave_slices_as_they_are() {
    let mut cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    cluster.create::<Service>(service(json!({ "app": "web" }))).await;
    serving_pod(&cluster, "a", "10.42.0.5").await;
    shows(&cluster, &[("10.42.0.5", true)]).await;
    cluster.stop_components().await;
    let before = slices(&cluster).await;
    cluster.start_components();
    serving_pod(&cluster, "b", "10.42.0.6").await;
    shows(&cluster, &[("10.42.0.5", true), ("10.42.0.6", true)]).await;
    let after = slices(&cluster).await;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].metadata.name, before[0].metadata.name);
}

/// Upstream's bounds for a hundred Services are 20 s for half of them and 50 s for nearly all; these leave room for a busy
/// machine.
#[tokio::test(flavor = "multi_thread")]
async fn new_services_have_their_endpoints_soon() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    serving_pod(&cluster, "a", "10.42.0.5").await;
    let api = cluster.api::<EndpointSlice>();
    let mut delays = Vec::new();
    for index in 0..100 {
        let name = format!("latency-{index}");
        let mut new = service(json!({ "app": "web" }));
        new["metadata"]["name"] = json!(name);
        let begun = Instant::now();
        cluster.create::<Service>(new).await;
        let own = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
        cluster
            .until("it has an endpoint", || async {
                let found = api.list(&own).await.unwrap().items;
                let mut endpoints = found
                    .into_iter()
                    .flat_map(|slice| slice.endpoints.unwrap_or_default());
                endpoints.any(|endpoint| endpoint.addresses == ["10.42.0.5"])
            })
            .await;
        delays.push(begun.elapsed());
    }
    delays.sort();
    assert!(delays[50] < Duration::from_secs(2), "{:?}", delays[50]);
    assert!(delays[98] < Duration::from_secs(20), "{:?}", delays[98]);
}
