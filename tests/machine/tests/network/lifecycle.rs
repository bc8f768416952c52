//! What controllers do over several nodes: pods of lost nodes, owners and what they own, namespaces,
//! and the endpoints of Services.

#![expect(
    clippy::indexing_slicing,
    reason = "an absent member of a JSON value indexes to null, never a panic"
)]

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node, eventually};

/// A Deployment whose pods are ready while `/tmp/ready` exists, and which leave a lost node after
/// two seconds.
fn deployment(name: &str, replicas: u8) -> String {
    let lost = ["not-ready", "unreachable"].map(|key| {
        json!({
            "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 2,
        })
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "tolerations": lost,
                    "containers": [{
                        "name": "main", "image": BUSYBOX,
                        "command": ["/bin/sh", "-c", "touch /tmp/ready; exec sleep 3600"],
                        "ports": [{ "name": "web", "containerPort": 8080 }],
                        "readinessProbe": {
                            "exec": { "command": ["test", "-e", "/tmp/ready"] },
                            "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 60,
                        },
                    }],
                },
            },
        },
    })
    .to_string()
}

fn roll_out(ns: &Namespace, name: &str, replicas: u8) -> Result<()> {
    ns.apply(&deployment(name, replicas))?;
    let what = format!("deployment/{name}");
    ns.succeed(&["rollout", "status", &what, "--timeout=240s"])?;
    Ok(())
}

fn items(ns: &Namespace, words: &[&str]) -> Result<Vec<Value>> {
    let shown = ns.succeed(&[&["get", "-o", "json"], words].concat())?;
    let list: Value = serde_json::from_str(&shown)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Whether each endpoint of a Service is ready, by the name of its pod.
fn readiness(ns: &Namespace, service: &str) -> Result<Vec<(String, bool)>> {
    let label = format!("kubernetes.io/service-name={service}");
    let slices = items(ns, &["endpointslices", "-l", &label])?;
    let mut endpoints: Vec<(String, bool)> = slices
        .iter()
        .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
        .map(|endpoint| {
            let pod = endpoint["targetRef"]["name"].as_str().unwrap_or_default();
            (pod.to_owned(), endpoint["conditions"]["ready"] == true)
        })
        .collect();
    endpoints.sort();
    Ok(endpoints)
}

pub(crate) fn endpoints(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("endpoints")?;
    roll_out(&ns, "web", 3)?;
    ns.succeed(&["expose", "deployment/web", "--port=80", "--target-port=web"])?;
    let all_ready = |count: usize| {
        let found = readiness(&ns, "web")?;
        ensure!(
            found.len() == count && found.iter().all(|(_, ready)| *ready),
            "{found:?}"
        );
        Ok(found)
    };
    let pods = eventually("three ready endpoints", || all_ready(3))?;
    let nodes: BTreeSet<String> = items(&ns, &["pods", "-l", "app=web"])?
        .iter()
        .map(|pod| pod["spec"]["nodeName"].to_string())
        .collect();
    ensure!(nodes.len() == 3, "three replicas on {nodes:?}");
    let (sick, _) = pods.first().context("no endpoint")?.clone();
    ns.succeed(&["exec", &sick, "--", "rm", "/tmp/ready"])?;
    eventually("one endpoint that is not ready", || {
        let found = readiness(&ns, "web")?;
        let waiting: Vec<&String> = found
            .iter()
            .filter(|(_, ready)| !ready)
            .map(|(pod, _)| pod)
            .collect();
        ensure!(waiting == [&sick], "{found:?}");
        Ok(())
    })?;
    // As text: kubectl's warning that Endpoints are deprecated is among what it prints.
    let path =
        "jsonpath=waiting: {.subsets[0].notReadyAddresses[*].targetRef.name} {.subsets[0].ports[0].port}";
    eventually("the Endpoints to say the same", || {
        let old = ns.succeed(&["get", "endpoints", "web", "-o", path])?;
        ensure!(old.contains(&format!("waiting: {sick} 8080")), "{old}");
        Ok(())
    })?;
    ns.succeed(&["exec", &sick, "--", "touch", "/tmp/ready"])?;
    eventually("three ready endpoints again", || all_ready(3))?;
    ns.succeed(&["scale", "deployment/web", "--replicas=1"])?;
    eventually("one endpoint after scaling", || all_ready(1))?;
    ns.succeed(&["delete", "service", "web"])?;
    eventually("no slices of a gone service", || {
        let left = readiness(&ns, "web")?;
        ensure!(left.is_empty(), "{left:?}");
        ns.fail(&["get", "endpoints", "web"]).map(drop)
    })
}

pub(crate) fn cascades(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("cascades")?;
    roll_out(&ns, "web", 2)?;
    ns.succeed(&["delete", "deployment", "web", "--cascade=orphan"])?;
    let sets = items(&ns, &["replicasets"])?;
    let [set] = &sets[..] else {
        anyhow::bail!("the set should have stayed: {sets:?}");
    };
    ensure!(set["metadata"]["ownerReferences"].is_null(), "still owned: {set}");
    ensure!(
        items(&ns, &["pods"])?.len() == 2,
        "pods went with an orphaned set"
    );
    let name = set["metadata"]["name"].as_str().context("no name")?;
    ns.succeed(&[
        "delete",
        "replicaset",
        name,
        "--cascade=foreground",
        "--wait=true",
    ])?;
    let left = items(&ns, &["pods"])?;
    ensure!(left.is_empty(), "the set went before its pods: {left:?}");
    roll_out(&ns, "web", 2)?;
    ns.succeed(&["delete", "deployment", "web", "--cascade=background"])?;
    eventually("sets and pods to follow their deployment", || {
        let left = [items(&ns, &["replicasets"])?, items(&ns, &["pods"])?].concat();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

pub(crate) fn namespaces(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("doomed")?;
    roll_out(&ns, "web", 2)?;
    ns.succeed(&["expose", "deployment/web", "--port=80"])?;
    ns.succeed(&["create", "configmap", "held"])?;
    let hold = r#"{"metadata":{"finalizers":["example.com/wait"]}}"#;
    ns.succeed(&["patch", "configmap", "held", "-p", hold])?;
    ns.succeed(&["delete", "namespace", "doomed", "--wait=false"])?;
    ns.wait_for("namespace", "doomed", |found| {
        let conditions = found["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| {
            condition["type"] == "NamespaceFinalizersRemaining" && condition["status"] == "True"
        })
    })?;
    let refused = ns.fail(&["create", "configmap", "late"])?;
    ensure!(refused.contains("because it is being terminated"), "{refused}");
    eventually("everything but the held object to be gone", || {
        let left = items(&ns, &["pods,replicasets,deployments,services,secrets"])?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })?;
    let free = r#"{"metadata":{"finalizers":null}}"#;
    ns.succeed(&["patch", "configmap", "held", "--type=merge", "-p", free])?;
    ns.succeed(&["wait", "--for=delete", "namespace/doomed", "--timeout=240s"])?;
    let events = items(&ns, &["events"])?;
    ensure!(events.is_empty(), "events outlived their namespace: {events:?}");
    Ok(())
}

fn taints(ns: &Namespace, node: &str) -> Result<Vec<String>> {
    let found = ns.get("node", node)?;
    let list = found["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let shown = list.iter().map(|taint| {
        let text = |key: &str| taint[key].as_str().unwrap_or_default().to_owned();
        format!("{}:{}", text("key"), text("effect"))
    });
    Ok(shown.collect())
}

pub(crate) fn lost_node(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("lost")?;
    let lost = format!("{}-3", cluster.name());
    roll_out(&ns, "web", 3)?;
    ns.succeed(&["expose", "deployment/web", "--port=80", "--target-port=web"])?;
    let here = |node: &str| -> Result<usize> {
        let field = format!("--field-selector=spec.nodeName={node},status.phase=Running");
        Ok(items(&ns, &["pods", &field])?.len())
    };
    ensure!(here(&lost)? > 0, "no replica on {lost}");
    cluster.succeed(&["node", "stop", &lost])?;
    eventually("the node to be NotReady", || {
        let shown = ns.succeed(&["get", "node", &lost])?;
        ensure!(shown.contains(" NotReady "), "{shown}");
        let found = ns.get("node", &lost)?;
        let conditions = found["status"]["conditions"].as_array();
        let mut all = conditions.into_iter().flatten();
        let ready = all.find(|condition| condition["type"] == "Ready");
        ensure!(
            ready.is_some_and(|ready| ready["reason"] == "NodeStatusUnknown"),
            "{ready:?}"
        );
        Ok(())
    })?;
    eventually("its pods to be replaced elsewhere", || {
        let found = ns.get("deployment", "web")?;
        ensure!(found["status"]["availableReplicas"] == 3, "{}", found["status"]);
        let slices = readiness(&ns, "web")?;
        let ready = slices.iter().filter(|(_, ready)| *ready).count();
        ensure!(ready == 3, "{slices:?}");
        Ok(())
    })?;
    eventually("the events of the loss", || {
        let told = ns.succeed(&["get", "events", "-A"])?;
        ensure!(
            told.contains("NodeNotReady") && told.contains("TaintManagerEviction"),
            "{told}"
        );
        Ok(())
    })?;
    let tainted = taints(&ns, &lost)?;
    ensure!(
        tainted.contains(&"node.kubernetes.io/unreachable:NoExecute".to_owned()),
        "{tainted:?}"
    );
    cluster.succeed(&["node", "start", &lost])?;
    eventually("the node to be clean and Ready, its old pods gone", || {
        let shown = ns.succeed(&["get", "node", &lost])?;
        ensure!(shown.contains(" Ready "), "{shown}");
        ensure!(taints(&ns, &lost)?.is_empty(), "{:?}", taints(&ns, &lost)?);
        let pods = items(&ns, &["pods"])?;
        ensure!(pods.len() == 3, "{} pods are left", pods.len());
        Ok(())
    })?;
    // What ran on it ended with it; what its agent began while the API did not answer is gone, too.
    let units = "test -z \"$(systemctl list-units --all --plain --no-legend 'floe-lost:*.service')\"";
    cluster.numbered(3).wait_until_succeeds(units).map(drop)
}

pub(crate) fn cut_off(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("cut-off")?;
    let name = format!("{}-2", cluster.name());
    let says = |word: &str| {
        let shown = ns.succeed(&["get", "node", &name])?;
        ensure!(shown.contains(word), "{shown}");
        Ok(())
    };
    cluster.succeed(&["node", "isolate", &name])?;
    eventually("the node to be NotReady", || says(" NotReady "))?;
    cluster.succeed(&["node", "heal", &name])?;
    // The agent itself must contradict, long before its next regular word in five minutes.
    eventually("the node to be Ready and free of taints", || {
        says(" Ready ")?;
        let left = taints(&ns, &name)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}
