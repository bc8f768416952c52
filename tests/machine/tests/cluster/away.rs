//! A node that comes back while the API server is away.

use anyhow::{Result, ensure};
use serde_json::json;
use tests_harness::{BUSYBOX, Cluster, Node, eventually};
use tests_machine::pod;

/// What a reboot takes from a node: its processes and everything under `/run`.
const FORGET: &str = r"
systemctl stop 'floe-remembered:*.service'
nsenter --mount=/run/floe/ns/mnt sh -c 'cut -d\  -f5 /proc/self/mountinfo | grep ^/run/floe/pods/ | sort -r | xargs -r umount -l'
rm -rf /run/floe/pods/* /run/floe/crun/*
for pin in /run/netns/floe-*; do umount -l $pin; rm -f $pin; done
";

fn running(cluster: &Cluster, name: &str) -> Result<()> {
    let listed = format!("systemctl list-units --plain --no-legend 'floe-remembered:{name}:*.service'");
    let units = cluster.node().succeed(&listed)?;
    ensure!(units.contains("running"), "{name}: {units:?}");
    Ok(())
}

fn keeper() -> String {
    let script = "echo has $WORD $(cat /page/text) $KUBERNETES_SERVICE_HOST; sleep 3600";
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "keeper" },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script],
                "env": [{ "name": "WORD", "valueFrom": { "secretKeyRef": { "name": "login", "key": "word" } } }],
                "volumeMounts": [{ "name": "page", "mountPath": "/page" }],
            }],
            "volumes": [
                { "name": "page", "configMap": { "name": "page" } },
                { "name": "none", "configMap": { "name": "absent", "optional": true } },
            ],
        },
    })
    .to_string()
}

pub(crate) fn remembered(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("remembered")?;
    let node = cluster.node();
    ns.succeed(&["create", "configmap", "page", "--from-literal=text=mapped"])?;
    ns.succeed(&["create", "secret", "generic", "login", "--from-literal=word=hush"])?;
    ns.apply(&keeper())?;
    ns.apply(&pod("stale", "Always", "sleep 3600"))?;
    ns.apply(&pod("done", "Never", "echo ran"))?;
    ns.succeed(&[
        "wait",
        "--for=condition=Ready",
        "pod/keeper",
        "pod/stale",
        "--timeout=240s",
    ])?;
    ns.wait_for("pod", "done", |found| found["status"]["phase"] == "Succeeded")?;
    let said = "journalctl --no-pager -o cat FLOE_NAMESPACE=remembered";
    let has = |times: usize| -> Result<()> {
        let lines = node.succeed(&format!("{said} FLOE_POD=keeper"))?;
        ensure!(lines.matches("has hush mapped 10.").count() == times, "{lines}");
        Ok(())
    };
    eventually("the first words", || has(1))?;

    node.succeed("systemctl stop floe-agent.service")?;
    ns.succeed(&["delete", "pod", "stale", "--grace-period=0", "--force"])?;
    node.succeed("systemctl stop floe-controlplane.service")?;
    node.succeed(FORGET)?;
    node.succeed("systemctl start --no-block floe-agent.service")?;
    eventually("the pods to run without the API", || {
        running(cluster, "keeper")?;
        running(cluster, "stale")
    })?;
    eventually("the words of the second run", || has(2))?;

    node.succeed("systemctl start floe-controlplane.service")?;
    eventually("the pod to be restarted and ready in the API", || {
        let found = ns.get("pod", "keeper")?;
        let status = found.pointer("/status/containerStatuses/0");
        let back = status.is_some_and(|status| status["ready"] == true && status["restartCount"] == 1);
        ensure!(back, "{}", found["status"]);
        Ok(())
    })?;
    eventually("the pod that the API no longer has to be gone", || {
        let units =
            node.succeed("systemctl list-units --all --plain --no-legend 'floe-remembered:stale:*'")?;
        ensure!(units.trim().is_empty(), "{units}");
        Ok(())
    })?;
    let lines = node.succeed(&format!("{said} FLOE_POD=done"))?;
    ensure!(
        lines.matches("ran").count() == 1,
        "what had ended ran again: {lines}"
    );
    ns.succeed(&["delete", "pods", "--all"]).map(drop)
}
