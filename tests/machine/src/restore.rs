//! The nodes as a test that has them alone may expect them, whatever the tests before left: so that one
//! failure stays one.

use anyhow::{Context as _, Result, ensure};
use tests_harness::{Cluster, Node as _, eventually};

/// Makes the nodes of `cluster` be those numbered up to `count`: running, on the network, their daemons
/// active, Ready and open to pods. Takes half a second where they are.
pub(crate) fn restore(cluster: &Cluster, count: u8) -> Result<()> {
    let names: Vec<String> = (1..=count)
        .map(|number| format!("{}-{number}", cluster.name()))
        .collect();
    let first = names.first().context("a cluster has nodes")?;
    if cluster.node().execute("true").is_err() {
        cluster.succeed(&["node", "start", first])?;
    }
    cluster
        .node()
        .succeed("systemctl start floe-controlplane.service")?;
    machines(cluster, &names)?;
    for number in 1..=count {
        cluster
            .numbered(number)
            .succeed("systemctl start floe-agent.service")?;
    }
    let kubectl = cluster.kubectl()?;
    let shown = eventually("every node to be Ready and no other to be there", || {
        let shown = kubectl.succeed(&["get", "nodes", "--no-headers"])?;
        let ready = shown.lines().filter(|line| line.contains(" Ready")).count();
        ensure!(ready == names.len() && shown.lines().count() == ready, "{shown}");
        Ok(shown)
    })?;
    let closed = shown
        .lines()
        .filter(|line| line.contains("SchedulingDisabled"))
        .filter_map(|line| line.split_whitespace().next());
    for node in closed {
        kubectl.succeed(&["uncordon", node])?;
    }
    Ok(())
}

/// Boots and heals the machines `names`, as `floe status` tells of them, and removes all others.
fn machines(cluster: &Cluster, names: &[String]) -> Result<()> {
    // It fails where the API server does not answer yet, after it has told of the machines.
    let told = cluster.run(&["status"])?.output;
    let machines = told
        .lines()
        .filter_map(|line| line.strip_prefix("machine ")?.split_once(": "));
    for (name, state) in machines {
        if !names.iter().any(|wanted| wanted == name) {
            cluster.succeed(&["node", "rm", "--force", name])?;
        } else if state == "stopped" {
            cluster.succeed(&["node", "start", name])?;
        } else if state.contains("cut off") {
            cluster.succeed(&["node", "heal", name])?;
        }
    }
    Ok(())
}
