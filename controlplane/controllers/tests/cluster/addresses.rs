//! Pod networks of nodes.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Event, Node};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::Cluster;

async fn network(cluster: &Cluster, name: &str) -> Option<String> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let spec = nodes.get(name).await.unwrap().spec?;
    assert_eq!(
        spec.pod_cidr.clone().into_iter().collect::<Vec<_>>(),
        spec.pod_cidrs.unwrap_or_default()
    );
    spec.pod_cidr
}

async fn gets_one(cluster: &Cluster, name: &str) -> String {
    cluster
        .until(&format!("{name} has a network"), || async {
            network(cluster, name).await.is_some()
        })
        .await;
    network(cluster, name).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_gets_a_network_of_its_own_also_across_restarts() {
    let mut cluster = Cluster::start().await;
    let mut networks = BTreeSet::new();
    for name in ["n1", "n2"] {
        cluster.add_node(name, 1).await;
        networks.insert(gets_one(&cluster, name).await);
    }
    cluster.stop_components().await;
    cluster.start_components();
    for name in ["n3", "n4"] {
        cluster.add_node(name, 1).await;
        networks.insert(gets_one(&cluster, name).await);
    }
    let expected = ["10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24", "10.42.3.0/24"];
    assert_eq!(networks, expected.map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fifth_of_four_waits_with_an_event_until_one_goes() {
    let cluster = Cluster::start().await;
    for name in ["n1", "n2", "n3", "n4"] {
        cluster.add_node(name, 1).await;
        gets_one(&cluster, name).await;
    }
    cluster.add_node("n5", 1).await;
    let told = || async {
        let events = cluster.api::<Event>().list(&ListParams::default()).await.unwrap();
        events.items.iter().any(|event| {
            event.reason.as_deref() == Some("CIDRNotAvailable")
                && event.involved_object.name.as_deref() == Some("n5")
        })
    };
    cluster.until("an event says so", told).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let freed = network(&cluster, "n2").await.unwrap();
    nodes.delete("n2", &DeleteParams::default()).await.unwrap();
    assert_eq!(gets_one(&cluster, "n5").await, freed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_once_given_cannot_be_changed() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    gets_one(&cluster, "n1").await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    for spec in [
        json!({ "podCIDR": "10.42.9.0/24" }),
        json!({ "podCIDR": "10.42.9.0/24", "podCIDRs": ["10.42.9.0/24"] }),
        json!({ "podCIDR": null, "podCIDRs": null }),
    ] {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let refused = nodes.patch("n1", &PatchParams::default(), &patch).await;
        let Err(kube::Error::Api(status)) = refused else {
            panic!("{spec} must be refused");
        };
        assert_eq!(status.code, 422, "{spec}");
    }
}
