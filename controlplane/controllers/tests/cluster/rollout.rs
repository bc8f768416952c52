//! Deployments and ReplicaSets.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, deployment, pod};

/// Whether `web` is rolled out, by the rule of `kubectl rollout status`.
async fn is_rolled_out(cluster: &Cluster) -> bool {
    let web: Deployment = cluster.api().get("web").await.unwrap();
    let wanted = web.spec.as_ref().and_then(|spec| spec.replicas);
    let generation = web.metadata.generation;
    let status = web.status.unwrap_or_default();
    status.observed_generation >= generation
        && status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
}

async fn roll_out(cluster: &Cluster) {
    cluster.until("the rollout ends", || is_rolled_out(cluster)).await;
}

async fn patch(cluster: &Cluster, change: Value) {
    cluster
        .api::<Deployment>()
        .patch("web", &PatchParams::default(), &Patch::Strategic(change))
        .await
        .unwrap();
}

fn image(image: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": image }] } } } })
}

async fn images(cluster: &Cluster) -> Vec<String> {
    let pods: Vec<Pod> = cluster.list().await;
    let live = pods
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    live.flat_map(|pod| pod.spec.unwrap_or_default().containers)
        .filter_map(|container| container.image)
        .collect()
}

fn revision(web: &Deployment) -> Option<String> {
    let annotations = web.metadata.annotations.as_ref()?;
    annotations.get("deployment.kubernetes.io/revision").cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_comes_up_rolls_over_and_back() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    cluster.create::<Deployment>(deployment(3, "nginx:1")).await;
    roll_out(&cluster).await;
    patch(&cluster, image("nginx:2")).await;
    roll_out(&cluster).await;
    assert_eq!(images(&cluster).await, ["nginx:2"; 3]);
    // What `kubectl rollout undo` does: the old set's template, written back.
    patch(&cluster, image("nginx:1")).await;
    roll_out(&cluster).await;
    assert_eq!(images(&cluster).await, ["nginx:1"; 3]);
    let web: Deployment = cluster.api().get("web").await.unwrap();
    assert_eq!(revision(&web).as_deref(), Some("3"));
    assert_eq!(cluster.list::<ReplicaSet>().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_image_stops_a_rollout_with_the_old_pods_still_up() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    cluster.create::<Deployment>(deployment(4, "nginx:1")).await;
    roll_out(&cluster).await;
    patch(&cluster, image("broken")).await;
    cluster
        .until("the surge is used up", || async {
            let web: Deployment = cluster.api().get("web").await.unwrap();
            let status = web.status.unwrap_or_default();
            status.updated_replicas == Some(2) && status.replicas == Some(5)
        })
        .await;
    let web: Deployment = cluster.api().get("web").await.unwrap();
    assert_eq!(web.status.unwrap().available_replicas, Some(3));
}

/// The most pods that ever lived at once, as a watch tells it in order, until `stop`.
async fn most_pods(pods: Api<Pod>, stop: CancellationToken) -> usize {
    let mut events = watcher(pods, watcher::Config::default()).boxed();
    let mut living = BTreeSet::new();
    let mut most = 0;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return most,
            event = events.try_next() => event.unwrap().unwrap(),
        };
        match event {
            Event::Apply(pod) | Event::InitApply(pod) => {
                if pod.metadata.deletion_timestamp.is_none() {
                    living.insert(pod.metadata.uid);
                } else {
                    living.remove(&pod.metadata.uid);
                }
            }
            Event::Delete(pod) => {
                living.remove(&pod.metadata.uid);
            }
            Event::Init | Event::InitDone => {}
        }
        most = most.max(living.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_is_made_twice_however_fast_the_wish_changes() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    let stop = CancellationToken::new();
    let mut watch = JoinSet::new();
    watch.spawn(most_pods(cluster.api(), stop.clone()));
    cluster.create::<Deployment>(deployment(20, "nginx")).await;
    roll_out(&cluster).await;
    for replicas in [1, 15, 3, 20] {
        patch(&cluster, json!({ "spec": { "replicas": replicas } })).await;
    }
    roll_out(&cluster).await;
    cluster
        .until("twenty pods live", || async {
            images(&cluster).await.len() == 20
        })
        .await;
    stop.cancel();
    assert_eq!(watch.join_next().await.unwrap().unwrap(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_that_start_again_make_nothing_anew() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    cluster.create::<Deployment>(deployment(5, "nginx")).await;
    roll_out(&cluster).await;
    let names =
        |pods: Vec<Pod>| -> Vec<Option<String>> { pods.into_iter().map(|pod| pod.metadata.name).collect() };
    let before = names(cluster.list().await);
    cluster.stop_components().await;
    cluster.start_components();
    cluster.start_agents();
    // A change that only the restarted controllers can have made shows that they are at work.
    patch(&cluster, json!({ "spec": { "replicas": 6 } })).await;
    roll_out(&cluster).await;
    let after = names(cluster.list().await);
    assert!(before.iter().all(|name| after.contains(name)));
    assert_eq!(after.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_loses_its_label_is_let_go_and_replaced() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    cluster.create::<Deployment>(deployment(2, "nginx")).await;
    roll_out(&cluster).await;
    let pods: Vec<Pod> = cluster.list().await;
    let name = pods.first().unwrap().metadata.name.clone().unwrap();
    let change = json!({ "metadata": { "labels": { "app": "debug" } } });
    cluster
        .api::<Pod>()
        .patch(&name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    cluster
        .until("a third pod comes and the first is free", || async {
            let freed: Pod = cluster.api().get(&name).await.unwrap();
            let owners = freed.metadata.owner_references.unwrap_or_default();
            owners.is_empty() && cluster.list::<Pod>().await.len() == 3
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_set_adopts_what_matches_and_lets_go_what_does_not_any_more() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    let mut orphan = pod("orphan", 10);
    orphan["metadata"]["labels"] = json!({ "app": "web" });
    let orphan: Pod = cluster.create(orphan).await;
    let mut set = deployment(1, "nginx");
    set["kind"] = json!("ReplicaSet");
    set["spec"]["template"]["metadata"] = json!({ "labels": { "app": "web" } });
    let set: ReplicaSet = cluster.create(set).await;
    let owner = |pod: Pod| {
        pod.metadata
            .owner_references
            .unwrap_or_default()
            .pop()
            .map(|owner| owner.uid)
    };
    let pods = cluster.api::<Pod>();
    cluster
        .until("the orphan has an owner", || async {
            owner(pods.get("orphan").await.unwrap()) == set.metadata.uid
        })
        .await;
    assert_eq!(cluster.list::<Pod>().await.len(), 1, "it is enough");
    let change = json!({ "metadata": { "labels": { "app": "debug" } } });
    pods.patch("orphan", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    cluster
        .until("it is free, and another has taken its place", || async {
            let free = owner(pods.get("orphan").await.unwrap()).is_none();
            free && cluster.list::<Pod>().await.len() == 2
        })
        .await;
    assert_eq!(
        pods.get("orphan").await.unwrap().metadata.uid,
        orphan.metadata.uid
    );
}
