//! Processes killed at bad moments.

use anyhow::{Context, Result, ensure};
use tests_harness::{Cluster, Node, eventually};
use tests_machine::pod;

const KILL_AGENT: &str = "systemctl kill --signal=KILL floe-agent.service";
const STOP_AGENT: &str = "systemctl stop floe-agent.service";
const START_AGENT: &str = "systemctl start floe-agent.service";

pub(crate) fn ends_while_agent_is_dead(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("once")?;
    // It ends when it is told to, which it is by a file in its own root, without the agent.
    ns.apply(&pod(
        "job",
        "OnFailure",
        "echo ran; until test -e /tmp/end; do sleep 0.1; done",
    ))?;
    ns.wait_for("pod", "job", |found| found["status"]["phase"] == "Running")?;
    let node = cluster.node();
    node.succeed(STOP_AGENT)?;
    let unit = "$(systemctl list-units --plain --no-legend 'floe-once:job:*:main.service' | cut -d' ' -f1)";
    node.succeed(&format!(
        "touch /proc/$(systemctl show --value -p MainPID {unit})/root/tmp/end"
    ))?;
    node.wait_until_succeeds(
        "! systemctl list-units --plain --no-legend 'floe-once:job:*:main.service' | grep -q running",
    )?;
    node.succeed(START_AGENT)?;
    let found = ns.wait_for("pod", "job", |found| found["status"]["phase"] == "Succeeded")?;
    let status = found
        .pointer("/status/containerStatuses/0")
        .context("no status")?;
    ensure!(status["restartCount"] == 0, "{status}");
    let lines = node.succeed("journalctl --no-pager -o cat FLOE_POD=job FLOE_NAMESPACE=once")?;
    ensure!(
        lines.matches("ran").count() == 1,
        "it ran more than once: {lines}"
    );
    Ok(())
}

/// The inner PIDs and start times of every container, as the kernel tells them.
fn starts(cluster: &Cluster, name: &str) -> Result<String> {
    cluster.node().succeed(&format!(
        "for unit in $(systemctl list-units --plain --no-legend 'floe-kills:{name}:*.service' | cut -d' ' -f1); do \
           pid=$(systemctl show --value -p MainPID \"$unit\"); echo $pid $(cut -d' ' -f22 /proc/$pid/stat); done"
    ))
}

fn mount_lines(cluster: &Cluster) -> Result<usize> {
    Ok(cluster.node().succeed("cat /proc/1/mountinfo")?.lines().count())
}

pub(crate) fn fifty_kills(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("kills")?;
    let node = cluster.node();
    let before = mount_lines(cluster)?;
    for name in ["steady-0", "steady-1", "dies"] {
        let script = if name == "dies" {
            "echo began; sleep 10; exit 1"
        } else {
            "sleep 3600"
        };
        ns.apply(&pod(name, "Always", script))?;
    }
    ns.wait_for("pod", "steady-0", |found| found["status"]["phase"] == "Running")?;
    ns.wait_for("pod", "steady-1", |found| found["status"]["phase"] == "Running")?;
    ns.wait_for("pod", "dies", |found| found["status"]["phase"] == "Running")?;
    eventually("one line in the mount table for each pod", || {
        let now = mount_lines(cluster)?;
        ensure!(now == before + 3, "{now} lines, {before} before");
        Ok(())
    })?;
    let started = starts(cluster, "steady-*")?;
    ensure!(started.lines().count() == 2, "{started}");
    for round in 0..50 {
        node.execute(KILL_AGENT)?;
        if round % 10 == 0 {
            node.wait_for_unit("floe-agent.service")?;
        }
        let now = starts(cluster, "steady-*")?;
        ensure!(
            now == started,
            "after {round} kills a container is another: {started:?} {now:?}"
        );
    }
    // Counted, since it runs but for ten seconds between longer and longer pauses.
    node.wait_until_succeeds(
        "test $(journalctl --no-pager -o cat FLOE_POD=dies FLOE_NAMESPACE=kills | grep -c began) -gt 1",
    )?;
    node.wait_for_unit("floe-agent.service")?;
    ns.wait_for("pod", "dies", |found| {
        let count = found.pointer("/status/containerStatuses/0/restartCount");
        count.is_some_and(|count| count.as_u64() >= Some(1))
    })?;
    eventually("no mounts of restarts or kills", || {
        let now = mount_lines(cluster)?;
        ensure!(now == before + 3, "{now} lines, {before} before");
        Ok(())
    })?;
    ensure!(
        starts(cluster, "steady-*")? == started,
        "a container was started again"
    );
    ns.succeed(&["delete", "pods", "--all", "--wait"])?;
    eventually("the mounts of deleted pods to be gone", || {
        let now = mount_lines(cluster)?;
        ensure!(now == before, "{now} lines, {before} before");
        Ok(())
    })
}

pub(crate) fn control_plane_killed(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("durable")?;
    let node = cluster.node();
    for round in 0..5 {
        let name = format!("written-{round}");
        ns.succeed(&["create", "configmap", &name, "--from-literal=round=yes"])?;
        node.succeed("systemctl kill --signal=KILL floe-controlplane.service")?;
        eventually("the write after the kill", || ns.get("configmap", &name))?;
    }
    let left = ns.succeed(&["get", "configmaps", "-o", "name"])?;
    ensure!(
        left.lines().filter(|line| line.contains("written-")).count() == 5,
        "{left}"
    );
    Ok(())
}

pub(crate) fn up_again(cluster: &Cluster) -> Result<()> {
    let node = cluster.node();
    let units =
        || node.succeed("systemctl show -p InvocationID floe-controlplane.service floe-agent.service");
    let before = units()?;
    let said = cluster.succeed(&["up", "--no-demo"])?;
    ensure!(said.contains("nothing was changed"), "{said}");
    ensure!(units()? == before, "a daemon was restarted");
    Ok(())
}
