//! The small programs that start and stop containers, killed at odd moments.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node, eventually};
use tests_machine::{pod, traces};

/// For ten seconds, kills whatever helper runs every now and then. The first line keeps it inside the node.
const KILLER: &str = r#"
[ "$(cat /proc/1/comm)" = systemd ] || exit 1
end=$((SECONDS + 10))
killed=0
while [ $SECONDS -lt $end ]; do
  for name in floe-run crun bridge host-local portmap vxlan nft; do
    killed=$((killed + $(pkill -KILL --count -x $name)))
  done
  sleep 0.0$((RANDOM % 9 + 1))
done
echo $killed
"#;

fn web(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "main", "image": BUSYBOX, "command": ["/bin/sleep", "3600"],
                        "volumeMounts": [{ "name": "work", "mountPath": "/work" }],
                    }],
                    "volumes": [{ "name": "work", "emptyDir": { "medium": "Memory" } }],
                },
            },
        },
    })
}

/// Whether a pod of the Deployment runs that nobody has deleted yet: helpers were at work for it.
fn starts_one(ns: &Namespace) -> Result<bool> {
    let template = "{{range .items}}{{if not .metadata.deletionTimestamp}}{{.status.phase}} {{end}}{{end}}";
    let phases = ns.succeed(&[
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        &format!("go-template={template}"),
    ])?;
    Ok(phases.contains("Running"))
}

pub(crate) fn helpers(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("killed")?;
    let before = traces(&cluster.node(), ns.name())?;
    let killed = std::thread::scope(|scope| -> Result<String> {
        let killer = scope.spawn(|| cluster.node().succeed(KILLER));
        ns.apply(&web(4).to_string())?;
        ns.apply(&pod("once", "Never", "echo ran; sleep 1"))?;
        while !killer.is_finished() {
            if starts_one(&ns)? {
                ns.succeed(&["delete", "pods", "-l", "app=web", "--wait=false"])?;
            }
        }
        killer
            .join()
            .map_err(|_| anyhow::anyhow!("the killer panicked"))?
    })?;
    ensure!(
        killed.trim().parse::<u32>().unwrap_or(0) > 5,
        "next to nothing was killed: {killed:?}"
    );
    ns.succeed(&["rollout", "status", "deployment/web", "--timeout=240s"])?;
    ns.wait_for("pod", "once", |found| {
        ["Succeeded", "Failed"].contains(&found["status"]["phase"].as_str().unwrap_or_default())
    })?;
    let lines = cluster
        .node()
        .succeed("journalctl --no-pager -o cat FLOE_POD=once FLOE_NAMESPACE=killed")?;
    ensure!(
        lines.matches("ran").count() <= 1,
        "it ran more than once: {lines}"
    );
    ns.succeed(&["delete", "deployment", "web"])?;
    ns.succeed(&["delete", "pods", "--all"])?;
    // What a killed DEL left is for the next start of the agent.
    cluster.node().succeed("systemctl restart floe-agent.service")?;
    eventually("everything of the pods to be gone", || {
        let now = traces(&cluster.node(), ns.name())?;
        let left: Vec<&String> = now.difference(&before).collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    })
}

pub(crate) fn reboot(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("reboot")?;
    ns.apply(&pod("stays", "Always", "sleep 3600"))?;
    ns.apply(&pod("goes", "Always", "sleep 3600"))?;
    ns.succeed(&[
        "wait",
        "--for=condition=Ready",
        "pod/stays",
        "pod/goes",
        "--timeout=240s",
    ])?;
    // By its UID: other tests have left pods whose addresses come and go.
    let uid = ns.succeed(&["get", "pod", "goes", "-o", "jsonpath={.metadata.uid}"])?;
    let reserved = format!("grep -lr {uid} /var/lib/cni/networks");
    cluster.node().succeed(&reserved)?;
    cluster.node().succeed("systemctl stop floe-agent.service")?;
    ns.succeed(&["delete", "pod", "goes", "--grace-period=0", "--force"])?;
    let node = cluster.node().name().to_owned();
    cluster.succeed(&["node", "stop", &node, "--force"])?;
    cluster.succeed(&["up", "--no-demo"])?;
    eventually("the pod that stays to run again", || {
        let again = ns.get("pod", "stays")?;
        let status = again.pointer("/status/containerStatuses/0");
        let back = status.is_some_and(|status| status["ready"] == true && status["restartCount"] == 1);
        ensure!(back, "{}", again["status"]);
        Ok(())
    })?;
    cluster
        .node()
        .wait_until_fails(&reserved)
        .context("the address of the pod that went")?;
    ns.succeed(&["delete", "pod", "stays"]).map(drop)
}
