//! Nodes that fall silent, and the pods on them.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Node, Pod, Taint};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Cluster, deployment, pod, read};

/// How long a node of these tests may be silent.
const GRACE: Duration = Duration::from_secs(5);

/// Renews the Leases of nodes, as agents do, until dropped.
fn keep_alive(client: &Client, names: &'static [&'static str]) -> JoinSet<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            for name in names {
                let ready = json!({ "type": "Ready", "status": "True", "lastHeartbeatTime": Timestamp::now().to_string() });
                let patch = Patch::Strategic(json!({ "status": { "conditions": [ready] } }));
                let _gone = nodes.patch_status(name, &PatchParams::default(), &patch).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    task
}

async fn taints(cluster: &Cluster, name: &str) -> Vec<String> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let spec = nodes.get(name).await.unwrap().spec.unwrap_or_default();
    let shown = |taint: Taint| {
        format!(
            "{}:{}",
            taint.key.trim_start_matches("node.kubernetes.io/"),
            taint.effect
        )
    };
    spec.taints.unwrap_or_default().into_iter().map(shown).collect()
}

async fn tainted(cluster: &Cluster, name: &str, expected: &[&str]) {
    cluster
        .until(&format!("{name} has taints {expected:?}"), || async {
            taints(cluster, name).await == expected
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_takes_pods_only_once_it_is_ready() {
    let cluster = Cluster::start().await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let node = read(json!({ "metadata": { "name": "n1" } }));
    nodes.create(&PostParams::default(), &node).await.unwrap();
    assert_eq!(taints(&cluster, "n1").await, ["not-ready:NoSchedule"]);
    let _agents = keep_alive(&cluster.client, &["n1"]);
    tainted(&cluster, "n1", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_a_cordon_keep_new_pods_away() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 1).await;
    tainted(&cluster, "n1", &[]).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.cordon("n1").await.unwrap();
    tainted(&cluster, "n1", &["unschedulable:NoSchedule"]).await;
    nodes.uncordon("n1").await.unwrap();
    let pressed = json!({ "status": { "conditions": [{ "type": "DiskPressure", "status": "True" }] } });
    nodes
        .patch_status("n1", &PatchParams::default(), &Patch::Strategic(pressed))
        .await
        .unwrap();
    tainted(&cluster, "n1", &["disk-pressure:NoSchedule"]).await;
}

/// A Deployment whose pods leave a lost node after a second.
fn impatient(replicas: i32) -> serde_json::Value {
    let mut web = deployment(replicas, "nginx");
    let keys = ["not-ready", "unreachable"];
    web["spec"]["template"]["spec"]["tolerations"] = json!(keys.map(|key| json!({
        "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 1,
    })));
    web
}

async fn pods_on(cluster: &Cluster, node: &str) -> Vec<Pod> {
    let all: Vec<Pod> = cluster.list().await;
    let here = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node);
    all.into_iter().filter(here).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_node_that_falls_silent_are_replaced_elsewhere_and_it_comes_back_clean() {
    let mut cluster = Cluster::start_impatient(GRACE).await;
    cluster.start_agents();
    for name in ["n1", "n2"] {
        cluster.add_node(name, 8).await;
    }
    let both = keep_alive(&cluster.client, &["n1", "n2"]);
    cluster.create::<Deployment>(impatient(4)).await;
    let available = || async {
        let web: Deployment = cluster.api().get("web").await.unwrap();
        web.status.unwrap_or_default().available_replicas == Some(4)
            && !pods_on(&cluster, "n2").await.is_empty()
    };
    cluster.until("pods run on both nodes", available).await;
    drop(both);
    let _first = keep_alive(&cluster.client, &["n1"]);
    tainted(
        &cluster,
        "n2",
        &["unreachable:NoSchedule", "unreachable:NoExecute"],
    )
    .await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let status = nodes.get("n2").await.unwrap().status.unwrap();
    let conditions = status.conditions.unwrap();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_deref()),
        ("Unknown", Some("NodeStatusUnknown"))
    );
    cluster
        .until("all pods run on the other node", || async {
            let web: Deployment = cluster.api().get("web").await.unwrap();
            let moved = web.status.unwrap_or_default().available_replicas == Some(4);
            moved && pods_on(&cluster, "n1").await.len() == 4
        })
        .await;
    let _back = keep_alive(&cluster.client, &["n2"]);
    tainted(&cluster, "n2", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_controller_leaves_the_taints_of_a_lost_node_as_they_are() {
    let mut cluster = Cluster::start_impatient(GRACE).await;
    for name in ["n1", "n2"] {
        cluster.add_node(name, 8).await;
    }
    let _living = keep_alive(&cluster.client, &["n2"]);
    let lost = ["unreachable:NoSchedule", "unreachable:NoExecute"];
    tainted(&cluster, "n1", &lost).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let before = nodes.get("n1").await.unwrap().spec.unwrap().taints;
    for _ in 0..3 {
        cluster.stop_components().await;
        cluster.start_components();
        // A change that only the restarted controller can have made shows that it is at work.
        nodes.cordon("n2").await.unwrap();
        tainted(&cluster, "n2", &["unschedulable:NoSchedule"]).await;
        nodes.uncordon("n2").await.unwrap();
        tainted(&cluster, "n2", &[]).await;
        assert_eq!(nodes.get("n1").await.unwrap().spec.unwrap().taints, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_stay_on_a_silent_node_are_said_not_to_be_ready() {
    let mut cluster = Cluster::start_impatient(GRACE).await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    let agents = keep_alive(&cluster.client, &["n1"]);
    cluster.create::<Pod>(pod("a", 10)).await;
    let readiness = || async {
        let found: Pod = cluster.api().get("a").await.unwrap();
        let conditions = found.status.unwrap_or_default().conditions.unwrap_or_default();
        let ready = conditions
            .into_iter()
            .find(|condition| condition.type_ == "Ready");
        ready.map(|condition| condition.status)
    };
    cluster
        .until("the pod is ready", || async {
            readiness().await.as_deref() == Some("True")
        })
        .await;
    drop(agents);
    cluster
        .until("it is said not to be", || async {
            readiness().await.as_deref() == Some("False")
        })
        .await;
    // The only node of a cluster is not emptied: it is the control plane that is cut off from it.
    tainted(&cluster, "n1", &["unreachable:NoSchedule"]).await;
    let told = || async {
        let events: Api<Event> = Api::all(cluster.client.clone());
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let reasons = events
            .iter()
            .filter(|event| event.reason.as_deref() == Some("NodeNotReady"));
        reasons.count() == 2
    };
    cluster.until("node and pod have events", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taint_set_by_hand_drives_pods_away_and_spares_those_that_bear_it() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    let mut staying = pod("stays", 10);
    staying["spec"]["tolerations"] = json!([{ "key": "maintenance", "operator": "Exists" }]);
    cluster.create::<Pod>(staying).await;
    cluster.create::<Pod>(pod("goes", 10)).await;
    cluster
        .until("both have nodes", || async {
            pods_on(&cluster, "n1").await.len() == 2
        })
        .await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let taint = json!({ "spec": { "taints": [{ "key": "maintenance", "effect": "NoExecute" }] } });
    nodes
        .patch("n1", &PatchParams::default(), &Patch::Merge(taint))
        .await
        .unwrap();
    cluster
        .until("one is gone", || async {
            cluster.api::<Pod>().get_opt("goes").await.unwrap().is_none()
        })
        .await;
    assert!(cluster.api::<Pod>().get_opt("stays").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_deleted_where_no_agent_will_finish_it_goes_all_the_same() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1", 8).await;
    cluster.create::<Pod>(pod("lost", 10)).await;
    cluster
        .until("it has a node", || async {
            pods_on(&cluster, "n1").await.len() == 1
        })
        .await;
    let pods = cluster.api::<Pod>();
    pods.delete("lost", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("lost").await.unwrap().is_some());
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let off = json!({ "spec": { "taints": [{ "key": "node.kubernetes.io/out-of-service", "effect": "NoExecute" }] } });
    nodes
        .patch("n1", &PatchParams::default(), &Patch::Merge(off))
        .await
        .unwrap();
    let down = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    nodes
        .patch_status("n1", &PatchParams::default(), &Patch::Strategic(down))
        .await
        .unwrap();
    cluster
        .until("the pod is gone", || async {
            pods.get_opt("lost").await.unwrap().is_none()
        })
        .await;
}

/// A pod that bears the taint `maintenance` for so long.
fn patient(name: &str, seconds: u32) -> serde_json::Value {
    let mut pod = pod(name, 10);
    pod["spec"]["tolerations"] = json!([{
        "key": "maintenance", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds,
    }]);
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taint_taken_away_in_time_drives_nobody_away() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    // Far more than the test itself takes on a busy machine.
    cluster.create::<Pod>(patient("first", 8)).await;
    cluster
        .until("it has a node", || async {
            pods_on(&cluster, "n1").await.len() == 1
        })
        .await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let taint = |taints: serde_json::Value| {
        let patch = Patch::Merge(json!({ "spec": { "taints": taints } }));
        let nodes = nodes.clone();
        async move { nodes.patch("n1", &PatchParams::default(), &patch).await.unwrap() }
    };
    let set = || json!([{ "key": "maintenance", "effect": "NoExecute" }]);
    let begun = Instant::now();
    taint(set()).await;
    // Part of the time that it has.
    cluster
        .until("the eviction is near", || async {
            begun.elapsed() > Duration::from_secs(1)
        })
        .await;
    taint(json!([])).await;
    cluster.create::<Pod>(patient("second", 1)).await;
    cluster
        .until("the other is there", || async {
            pods_on(&cluster, "n1").await.len() == 2
        })
        .await;
    // By the time at which the first would have gone a taint set anew has not run out yet.
    cluster
        .until("its time is over", || async {
            begun.elapsed() > Duration::from_millis(9500)
        })
        .await;
    assert_eq!(pods_on(&cluster, "n1").await.len(), 2);
    taint(set()).await;
    cluster
        .until("without a cancellation both go", || async {
            pods_on(&cluster, "n1").await.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pod_leaves_a_tainted_node_at_its_own_time() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    for (name, seconds) in [("soon", 1), ("later", 4)] {
        cluster.create::<Pod>(patient(name, seconds)).await;
    }
    cluster
        .until("both have nodes", || async {
            pods_on(&cluster, "n1").await.len() == 2
        })
        .await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let taint = json!({ "spec": { "taints": [{ "key": "maintenance", "effect": "NoExecute" }] } });
    let begun = Instant::now();
    nodes
        .patch("n1", &PatchParams::default(), &Patch::Merge(taint))
        .await
        .unwrap();
    let pods = cluster.api::<Pod>();
    for (name, other, seconds) in [("soon", Some("later"), 1), ("later", None, 4)] {
        cluster
            .until("it is gone", || async {
                pods.get_opt(name).await.unwrap().is_none()
            })
            .await;
        assert!(
            begun.elapsed() >= Duration::from_secs(seconds),
            "{name} after {:?}",
            begun.elapsed()
        );
        if let Some(other) = other {
            let there = pods.get_opt(other).await.unwrap().is_some();
            // Seen before its time, or too late to tell.
            assert!(there || begun.elapsed() >= Duration::from_secs(4), "{other}");
        }
    }
}
