//! A node without space.

use anyhow::{Result, ensure};
use tests_harness::{Cluster, Namespace, Node, eventually};
use tests_machine::pod;

/// Leaves nothing of the run-time file system, which is made small first so that this takes no time.
const FILL: &str = "used=$(df --output=used -k /run | tail -1) && mount -o remount,size=$((used + 4096))k /run && \
     ! head -c 1G /dev/zero > /run/filler 2>/dev/null";
const FREE: &str = "rm -f /run/filler && mount -o remount,size=20% /run";

pub(crate) fn full(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("crowded")?;
    let node = cluster.node();
    ns.apply(&pod(
        "early",
        "Never",
        "until test -e /tmp/go; do sleep 0.1; done; exit 3",
    ))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/early", "--timeout=240s"])?;
    node.succeed(FILL)?;
    let seen = crowded(cluster, &ns);
    node.succeed(FREE)?;
    seen?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/late", "--timeout=240s"])?;
    ns.succeed(&["delete", "pods", "--all"]).map(drop)
}

/// What is told while there is no space.
fn crowded(cluster: &Cluster, ns: &Namespace) -> Result<()> {
    ns.apply(&pod("late", "Always", "sleep 3600"))?;
    eventually("the event that names the file system", || {
        let events = ns.succeed(&["get", "events", "-o", "jsonpath={.items[*].message}"])?;
        ensure!(events.contains("no space left: free space on /run"), "{events}");
        Ok(())
    })?;
    // Not by exec, which has files of its own to write.
    let found = "systemctl show --value -p MainPID $(systemctl list-units --plain --no-legend 'floe-crowded:early:*.service' | cut -d' ' -f1)";
    cluster
        .node()
        .succeed(&format!("touch /proc/$({found})/root/tmp/go"))?;
    let ended = ns.wait_for("pod", "early", |found| found["status"]["phase"] == "Failed")?;
    let code = ended.pointer("/status/containerStatuses/0/state/terminated/exitCode");
    ensure!(code == Some(&3.into()), "{}", ended["status"]);
    Ok(())
}
