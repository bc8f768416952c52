//! Pods that were bound to the node past the scheduler.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node, eventually};

fn bound(cluster: &Cluster, ns: &Namespace, name: &str, more: &Value) -> Result<()> {
    let mut spec = json!({
        "nodeName": cluster.node().name(),
        "terminationGracePeriodSeconds": 1,
        "containers": [{ "name": "main", "image": BUSYBOX, "command": ["/bin/sleep", "3600"] }],
    });
    let fields = more.as_object().into_iter().flatten();
    for (key, value) in fields {
        spec[key] = value.clone();
    }
    let manifest = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec });
    ns.apply(&manifest.to_string()).map(drop)
}

pub(crate) fn by_hand(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("byhand")?;
    bound(cluster, &ns, "fits", &json!({}))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/fits", "--timeout=240s"])?;
    let greedy = json!([{
        "name": "main", "image": BUSYBOX, "resources": { "requests": { "cpu": "900" } },
    }]);
    let cases = [
        (
            "greedy",
            json!({ "containers": greedy }),
            "OutOfcpu",
            "requested: 900000",
        ),
        (
            "picky",
            json!({ "nodeSelector": { "disk": "tape" } }),
            "NodeAffinity",
            "node(s) didn't match Pod's node affinity/selector",
        ),
    ];
    for (name, more, reason, words) in cases {
        bound(cluster, &ns, name, &more)?;
        let found = ns.wait_for("pod", name, |found| found["status"]["phase"] == "Failed")?;
        let status = &found["status"];
        ensure!(status["reason"] == reason, "{status}");
        let message = status["message"].as_str().context("no message")?;
        ensure!(
            message.starts_with("Pod was rejected: ") && message.contains(words),
            "{message}"
        );
        eventually("the event that says so", || {
            let shown = ns.succeed(&["describe", "pod", name])?;
            ensure!(shown.contains(&format!("Warning  {reason}")), "{shown}");
            Ok(())
        })?;
    }
    // A label that comes in time lets the next one in; the one that was refused stays so.
    let node = cluster.node().name().to_owned();
    ns.succeed(&["label", "node", &node, "disk=tape"])?;
    bound(
        cluster,
        &ns,
        "content",
        &json!({ "nodeSelector": { "disk": "tape" } }),
    )?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/content", "--timeout=240s"])?;
    ns.succeed(&["label", "node", &node, "disk-"])?;
    let refused = ns.get("pod", "picky")?;
    ensure!(refused["status"]["phase"] == "Failed", "{refused}");
    Ok(())
}
