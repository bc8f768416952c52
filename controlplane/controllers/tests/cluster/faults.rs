//! Writes that fail, and writes of which nobody knows whether they happened.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{Cluster, deployment};

/// Whether exactly these pods live, and all have nodes.
async fn has_pods(cluster: &Cluster, count: usize, image: &str) -> bool {
    let pods: Vec<Pod> = cluster.list().await;
    let right = |pod: &Pod| {
        let spec = pod.spec.clone().unwrap_or_default();
        let images = spec.containers.into_iter().filter_map(|one| one.image);
        pod.metadata.deletion_timestamp.is_none() && spec.node_name.is_some() && images.eq([image.to_owned()])
    };
    pods.len() == count && pods.iter().all(right)
}

async fn patch(cluster: &Cluster, change: serde_json::Value) {
    let api = cluster.api::<Deployment>();
    api.patch("web", &PatchParams::default(), &Patch::Strategic(change))
        .await
        .unwrap();
}

async fn wishes_come_true(seed: u64) {
    let mut cluster = Cluster::start_faulty(seed).await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    cluster.create::<Deployment>(deployment(6, "nginx:1")).await;
    let first = || has_pods(&cluster, 6, "nginx:1");
    cluster.until(&format!("six pods (seed {seed})"), first).await;
    let image = json!([{ "name": "c", "image": "nginx:2" }]);
    let spec = json!({ "replicas": 4, "template": { "spec": { "containers": image } } });
    patch(&cluster, json!({ "spec": spec })).await;
    let second = || has_pods(&cluster, 4, "nginx:2");
    cluster
        .until(&format!("four new pods (seed {seed})"), second)
        .await;
    cluster
        .api::<Deployment>()
        .delete("web", &DeleteParams::foreground())
        .await
        .unwrap();
    let empty = || async {
        cluster.list::<Pod>().await.is_empty()
            && cluster.list::<ReplicaSet>().await.is_empty()
            && cluster.list::<Deployment>().await.is_empty()
    };
    cluster.until(&format!("nothing (seed {seed})"), empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_come_true_though_writes_fail_or_lose_their_answers() {
    for seed in [1, 2, 3] {
        wishes_come_true(seed).await;
    }
}
