//! The scheduler.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Node, Pod, PodCondition};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{Cluster, deployment, pod};

async fn condition(cluster: &Cluster, name: &str) -> Option<PodCondition> {
    let pod: Pod = cluster.api().get(name).await.unwrap();
    let conditions = pod.status?.conditions?;
    conditions
        .into_iter()
        .find(|condition| condition.type_ == "PodScheduled")
}

async fn node_of(cluster: &Cluster, name: &str) -> Option<String> {
    let pod: Pod = cluster.api().get(name).await.unwrap();
    pod.spec?.node_name
}

async fn placed(cluster: &Cluster, name: &str) {
    let claim = format!("{name} gets a node");
    cluster
        .until(&claim, || async { node_of(cluster, name).await.is_some() })
        .await;
}

async fn refused(cluster: &Cluster, name: &str) -> String {
    let claim = format!("{name} is told why it waits");
    cluster
        .until(&claim, || async {
            condition(cluster, name)
                .await
                .is_some_and(|condition| condition.reason.as_deref() == Some("Unschedulable"))
        })
        .await;
    condition(cluster, name).await.unwrap().message.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_room_and_takes_it_when_it_comes() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    for name in ["a", "b"] {
        cluster.create::<Pod>(pod(name, 400)).await;
        placed(&cluster, name).await;
    }
    cluster.create::<Pod>(pod("c", 400)).await;
    let message = refused(&cluster, "c").await;
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu."));
    cluster
        .api::<Pod>()
        .delete("a", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    placed(&cluster, "c").await;
    let scheduled = condition(&cluster, "c").await.unwrap();
    assert_eq!(scheduled.status, "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_the_first_node() {
    let cluster = Cluster::start().await;
    cluster.create::<Pod>(pod("early", 100)).await;
    assert_eq!(
        refused(&cluster, "early").await,
        "no nodes available to schedule pods"
    );
    cluster.add_node("n1", 1).await;
    placed(&cluster, "early").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uncordoning_a_node_lets_waiting_pods_in() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.cordon("n1").await.unwrap();
    cluster.create::<Pod>(pod("waits", 100)).await;
    assert_eq!(
        refused(&cluster, "waits").await,
        "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes are \
         available: 1 Preemption is not helpful for scheduling."
    );
    nodes.uncordon("n1").await.unwrap();
    placed(&cluster, "waits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_pods_at_once_fill_two_nodes_and_overbook_neither() {
    let cluster = Cluster::start().await;
    for name in ["n1", "n2"] {
        cluster.add_node(name, 2).await;
    }
    for n in 0..50 {
        cluster.create::<Pod>(pod(&format!("p{n}"), 100)).await;
    }
    let on = |pods: &[Pod], node: &str| {
        let here = pods
            .iter()
            .filter(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node));
        here.count()
    };
    cluster
        .until("both nodes are full", || async {
            let pods: Vec<Pod> = cluster.list().await;
            let counts = [on(&pods, "n1"), on(&pods, "n2")];
            assert!(counts.iter().all(|count| *count <= 20));
            counts == [20, 20]
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gated_pods_are_scheduled_once_their_gates_open() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    let mut gated = pod("gated", 100);
    gated["spec"]["schedulingGates"] = json!([{ "name": "example.com/wait" }]);
    cluster.create::<Pod>(gated).await;
    cluster.create::<Pod>(pod("free", 100)).await;
    placed(&cluster, "free").await;
    assert_eq!(node_of(&cluster, "gated").await, None);
    let open = json!({ "spec": { "schedulingGates": [] } });
    cluster
        .api::<Pod>()
        .patch("gated", &PatchParams::default(), &Patch::Merge(open))
        .await
        .unwrap();
    placed(&cluster, "gated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_a_deployment_land_on_different_nodes() {
    let cluster = Cluster::start().await;
    for name in ["n1", "n2", "n3"] {
        cluster.add_node(name, 8).await;
    }
    // A node counts once its taint of the beginning is off and the scheduler has heard so.
    for name in ["n1", "n2", "n3"] {
        let mut only_there = pod(&format!("known-{name}"), 10);
        only_there["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": name });
        cluster.create::<Pod>(only_there).await;
        placed(&cluster, &format!("known-{name}")).await;
    }
    cluster.create::<Deployment>(deployment(3, "nginx")).await;
    let nodes = || async {
        let pods: Vec<Pod> = cluster.list().await;
        let replicas = pods
            .into_iter()
            .filter(|pod| pod.metadata.owner_references.is_some());
        let nodes = replicas.filter_map(|pod| pod.spec?.node_name);
        nodes.collect::<BTreeSet<String>>().len()
    };
    cluster
        .until("each has a node of its own", || async { nodes().await == 3 })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_wants_to_be_alone_or_near_another_waits_until_it_can() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 8).await;
    let rule = |kind: &str, app: &str| {
        json!({ kind: { "requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": { "matchLabels": { "app": app } },
        }] } })
    };
    let social = |name: &str, app: &str, affinity: serde_json::Value| {
        let mut object = pod(name, 10);
        object["metadata"]["labels"] = json!({ "app": app });
        object["spec"]["affinity"] = affinity;
        object
    };
    let alone = rule("podAntiAffinity", "db");
    cluster.create::<Pod>(social("db-0", "db", alone.clone())).await;
    placed(&cluster, "db-0").await;
    cluster.create::<Pod>(social("db-1", "db", alone)).await;
    let message = refused(&cluster, "db-1").await;
    assert!(
        message.contains("didn't match pod anti-affinity rules"),
        "{message}"
    );
    cluster.add_node("n2", 8).await;
    placed(&cluster, "db-1").await;
    assert_eq!(node_of(&cluster, "db-1").await.as_deref(), Some("n2"));
    cluster
        .create::<Pod>(social("web", "web", rule("podAffinity", "cache")))
        .await;
    let message = refused(&cluster, "web").await;
    assert!(message.contains("didn't match pod affinity rules"), "{message}");
    cluster.create::<Pod>(social("cache", "cache", json!({}))).await;
    placed(&cluster, "cache").await;
    placed(&cluster, "web").await;
    assert_eq!(node_of(&cluster, "web").await, node_of(&cluster, "cache").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_say_where_a_pod_went_and_why_one_waits() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    cluster.create::<Pod>(pod("fits", 100)).await;
    cluster.create::<Pod>(pod("big", 9000)).await;
    let told = |reason: &'static str, message: &'static str| {
        let cluster = &cluster;
        move || async move {
            let events = cluster.api::<Event>().list(&ListParams::default()).await;
            events.unwrap().items.iter().any(|event| {
                let source = event.source.clone().unwrap_or_default();
                event.reason.as_deref() == Some(reason)
                    && event.message.as_deref().unwrap_or_default().starts_with(message)
                    && source.component.as_deref() == Some("default-scheduler")
            })
        }
    };
    let scheduled = told("Scheduled", "Successfully assigned default/fits to n1");
    cluster.until("an event says where", scheduled).await;
    let failed = told("FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.");
    cluster.until("an event says why", failed).await;
}
