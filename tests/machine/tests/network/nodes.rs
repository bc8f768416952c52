//! Nodes that come, go and fail.

use anyhow::{Result, ensure};
use tests_harness::{BUSYBOX, Cluster, Node, eventually};

pub(crate) fn shown(cluster: &Cluster) -> Result<()> {
    let shown = cluster
        .kubectl()?
        .namespace("shown")?
        .succeed(&["get", "nodes", "-o", "wide"])?;
    for number in 1..=3 {
        let name = format!("{}-{number}", cluster.name());
        let line = shown.lines().find(|line| line.starts_with(&name));
        ensure!(
            line.is_some_and(|line| line.contains(" Ready ") && line.contains("10.88.")),
            "{shown}"
        );
    }
    Ok(())
}

pub(crate) fn comes_and_goes(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl()?.namespace("movers")?;
    let name = format!("{}-4", cluster.name());
    ensure!(cluster.succeed(&["node", "add"])?.contains(&name), "another name");
    kubectl.succeed(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=240s",
        &format!("node/{name}"),
    ])?;
    let image = cluster.scratch().join("busybox");
    cluster.succeed(&["image", "load", &image.to_string_lossy()])?;
    let image = format!("--image={BUSYBOX}");
    kubectl.succeed(&[
        "create",
        "deployment",
        "mover",
        &image,
        "--replicas=8",
        "--",
        "sleep",
        "3600",
    ])?;
    kubectl.succeed(&["rollout", "status", "deployment/mover", "--timeout=240s"])?;
    let pods = kubectl.succeed(&["get", "pods", "-o", "wide"])?;
    ensure!(
        pods.contains(&name),
        "none of eight pods is on the new node: {pods}"
    );
    let said = cluster.succeed(&["node", "rm", &name])?;
    ensure!(said.contains("is removed"), "{said}");
    kubectl.fail(&["get", "node", &name])?;
    kubectl.succeed(&["rollout", "status", "deployment/mover", "--timeout=240s"])?;
    let running = [
        "get",
        "pods",
        "-o",
        "wide",
        "--field-selector=status.phase=Running",
    ];
    eventually("no pod on the removed node", || {
        let pods = kubectl.succeed(&running)?;
        ensure!(!pods.contains(&name), "{pods}");
        Ok(())
    })?;
    let refused = cluster.run(&["node", "rm", &format!("{}-1", cluster.name())])?;
    ensure!(
        refused.code != 0 && refused.output.contains("runs the control plane"),
        "{}",
        refused.output
    );
    Ok(())
}

pub(crate) fn stopped_and_started(cluster: &Cluster) -> Result<()> {
    let name = format!("{}-3", cluster.name());
    let node = cluster.numbered(3);
    let before = node.succeed("cat /proc/sys/kernel/random/boot_id")?;
    cluster.succeed(&["node", "stop", &name])?;
    ensure!(node.execute("true").is_err(), "{name} still runs");
    ensure!(
        cluster
            .succeed(&["status"])?
            .contains(&format!("machine {name}: stopped")),
        "status does not say it"
    );
    cluster.succeed(&["node", "start", &name])?;
    ensure!(
        node.succeed("cat /proc/sys/kernel/random/boot_id")? != before,
        "not a new boot"
    );
    let kubectl = cluster.kubectl()?.namespace("rebooted")?;
    eventually("the node to be Ready", || {
        let shown = kubectl.succeed(&["get", "node", &name])?;
        ensure!(shown.contains(" Ready "), "{shown}");
        Ok(())
    })
}

/// A second agent under the name of node 3, on node 2 and beside that node's own.
pub(crate) fn one_name_twice(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl()?.namespace("one-name")?;
    let (machine, name) = (cluster.numbered(2), format!("{}-3", cluster.name()));
    let address = || {
        let path = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
        kubectl.succeed(&["get", "node", &name, "-o", path])
    };
    let before = address()?;
    let folder = "/var/lib/floe/second";
    let own = "node_name|state_dir|run_dir|listen|cni_conf_dir";
    let config = format!(
        "mkdir {folder} && {{ grep -vE '^({own}) ' /etc/floe/agent.toml; echo 'node_name = \"{name}\"'; \
         echo 'state_dir = \"{folder}/state\"'; echo 'run_dir = \"{folder}/run\"'; \
         echo 'cni_conf_dir = \"{folder}/net.d\"'; echo 'listen = \"127.0.0.1:10260\"'; }} > {folder}/agent.toml"
    );
    machine.succeed(&config)?;
    let wanted = "another machine is this node; give one of them another node_name";
    let said = machine.succeed(&format!(
        "timeout 200 floe-agent --config {folder}/agent.toml > {folder}/said 2>&1 & agent=$!
         while kill -0 $agent && ! grep -q '{wanted}' {folder}/said; do sleep 0.2; done
         kill $agent; wait $agent; cat {folder}/said; rm -r {folder}"
    ))?;
    ensure!(said.contains(wanted), "{said}");
    ensure!(!said.contains("agent runs"), "two agents under one name: {said}");
    ensure!(address()? == before, "the second machine has become {name}");
    Ok(())
}
