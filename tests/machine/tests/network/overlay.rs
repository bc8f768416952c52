//! The overlay: pods and nodes reach pods of every node by address, and are seen as themselves.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node, eventually};

const NODES: [u8; 3] = [1, 2, 3];
/// A web server whose page tells the client's address.
const SERVER: &str = "mkdir -p /tmp/www/cgi-bin; cd /tmp/www/cgi-bin; \
                      printf '#!/bin/sh\\necho\\necho $REMOTE_ADDR\\n' > who; chmod +x who; \
                      exec httpd -f -p 0.0.0.0:8080 -h /tmp/www";

fn pod(cluster: &Cluster, number: u8) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": format!("pod-{number}") },
        "spec": {
            "nodeName": format!("{}-{number}", cluster.name()),
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", SERVER] }],
        },
    })
}

/// A namespace with a pod on every node, and the pods' addresses.
fn deploy(cluster: &Cluster, name: &str) -> Result<(Namespace, BTreeMap<u8, String>)> {
    let ns = cluster.kubectl()?.namespace(name)?;
    let pods: Vec<String> = NODES
        .iter()
        .map(|number| pod(cluster, *number).to_string())
        .collect();
    ns.apply(&pods.join("\n---\n"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=240s"])?;
    let address = |number: &u8| {
        let pod = ns.get("pod", &format!("pod-{number}"))?;
        let address = pod.pointer("/status/podIP").and_then(Value::as_str);
        Ok((*number, address.context("the pod has no address")?.to_owned()))
    };
    let addresses = NODES.iter().map(address).collect::<Result<_>>()?;
    Ok((ns, addresses))
}

/// The network of a node's pods.
fn subnet(ns: &Namespace, cluster: &Cluster, number: u8) -> Result<String> {
    let node = ns.get("node", &format!("{}-{number}", cluster.name()))?;
    let subnet = node.pointer("/spec/podCIDR").and_then(Value::as_str);
    Ok(subnet.context("the node has no pod network")?.to_owned())
}

/// The address of a node's device in the overlay.
fn overlay_address(ns: &Namespace, cluster: &Cluster, number: u8) -> Result<String> {
    let subnet = subnet(ns, cluster, number)?;
    Ok(subnet.split('/').next().unwrap_or_default().to_owned())
}

fn seen_from_pod(ns: &Namespace, number: u8, to: &str) -> Result<String> {
    let url = format!("http://{to}:8080/cgi-bin/who");
    // Debian's static busybox crashes on a limit of wget's own.
    let pod = format!("pod-{number}");
    // A pod is Ready before its server listens.
    let said = eventually(&format!("an answer of {to} to {pod}"), || {
        ns.succeed(&["exec", &pod, "--", "timeout", "5", "wget", "-q", "-O", "-", &url])
    })?;
    Ok(said.trim().to_owned())
}

fn seen_from_node(cluster: &Cluster, number: u8, to: &str) -> Result<String> {
    let said = cluster.numbered(number).wait_until_succeeds(&format!(
        "timeout 5 busybox wget -q -O - http://{to}:8080/cgi-bin/who"
    ))?;
    Ok(said.trim().to_owned())
}

/// Every pod reaches every pod.
fn pods_reach_pods(ns: &Namespace, addresses: &BTreeMap<u8, String>) -> Result<()> {
    for (from, own) in addresses {
        for to in addresses.values() {
            let seen = seen_from_pod(ns, *from, to)?;
            ensure!(seen == *own, "pod-{from} ({own}) is seen by {to} as {seen}");
        }
    }
    Ok(())
}

pub(crate) fn matrix(cluster: &Cluster) -> Result<()> {
    let (ns, addresses) = deploy(cluster, "overlay")?;
    pods_reach_pods(&ns, &addresses)?;
    for from in NODES {
        let own = overlay_address(&ns, cluster, from)?;
        for (on, to) in &addresses {
            let seen = seen_from_node(cluster, from, to)?;
            // On its own node it is the bridge's address, elsewhere the device's: never another node's.
            let expected = if *on == from {
                bridge_address(&own)
            } else {
                own.clone()
            };
            ensure!(
                seen == expected,
                "node {from} is seen by {to} as {seen} and not {expected}"
            );
        }
    }
    Ok(())
}

/// The first address of a network that may be a pod's gateway.
fn bridge_address(network: &str) -> String {
    let (head, _) = network.rsplit_once('.').unwrap_or_default();
    format!("{head}.1")
}

pub(crate) fn large_packets(cluster: &Cluster) -> Result<()> {
    let (ns, addresses) = deploy(cluster, "overlay-mtu")?;
    let to = addresses.get(&2).context("no second pod")?;
    let link = ns.succeed(&["exec", "pod-1", "--", "cat", "/sys/class/net/eth0/mtu"])?;
    let uplink = cluster
        .node()
        .succeed("cat /sys/class/net/$(ip route show default | sed 's/.* dev \\([^ ]*\\).*/\\1/')/mtu")?;
    let (link, uplink): (u32, u32) = (link.trim().parse()?, uplink.trim().parse()?);
    ensure!(
        link + 50 == uplink,
        "a pod's link takes {link}, the node's {uplink}"
    );
    // The largest packet, and one that has to be cut.
    for size in [link - 28, link + 500] {
        let size = size.to_string();
        eventually(&format!("an answer to {size} bytes"), || {
            let ping = ["ping", "-c", "1", "-W", "3", "-s", &size, to];
            ns.succeed(&[["exec", "pod-1", "--"].as_slice(), &ping].concat())
        })?;
    }
    Ok(())
}

pub(crate) fn vandalised(cluster: &Cluster) -> Result<()> {
    let (ns, addresses) = deploy(cluster, "overlay-drift")?;
    let node = cluster.numbered(2);
    for vandalism in [
        "ip neigh flush dev floe.vx nud permanent",
        "ip route flush dev floe.vx",
        "for m in $(bridge fdb show dev floe.vx | cut -d' ' -f1); do bridge fdb del $m dev floe.vx self; done",
        "ip link set floe.vx down",
        "ip link set floe.vx mtu 1300",
        "ip addr flush dev floe.vx",
        "ip link del floe.vx",
    ] {
        let before = repairs(&node)?;
        node.succeed(vandalism)?;
        eventually(&format!("repair after {vandalism}"), || {
            ensure!(repairs(&node)? > before, "nothing was reported");
            Ok(())
        })?;
        pods_reach_pods(&ns, &addresses).with_context(|| format!("after {vandalism}"))?;
    }
    Ok(())
}

/// How often the agent warned that somebody else changed the overlay.
fn repairs(node: &impl Node) -> Result<usize> {
    let said = node.succeed(
        "journalctl -u floe-agent -p warning -o cat | grep -c 'overlay was changed by others' || true",
    )?;
    Ok(said.trim().parse()?)
}

pub(crate) fn comes_and_goes(cluster: &Cluster) -> Result<()> {
    let (ns, _) = deploy(cluster, "overlay-nodes")?;
    let route = |subnet: &str| cluster.node().succeed(&format!("ip route show {subnet}"));
    cluster.succeed(&["node", "add"])?;
    let name = format!("{}-4", cluster.name());
    let image = cluster.scratch().join("busybox");
    cluster.succeed(&["image", "load", &image.to_string_lossy()])?;
    ns.succeed(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=240s",
        &format!("node/{name}"),
    ])?;
    let given = subnet(&ns, cluster, 4)?;
    ns.apply(&pod(cluster, 4).to_string())?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/pod-4", "--timeout=240s"])?;
    let own = ns.get("pod", "pod-4")?;
    let own = own
        .pointer("/status/podIP")
        .and_then(Value::as_str)
        .context("no address")?;
    for number in NODES {
        let seen = seen_from_pod(&ns, number, own)?;
        ensure!(seen.starts_with("10.42."), "pod-{number} is seen as {seen}");
    }
    ensure!(route(&given)?.contains("floe.vx"), "no route to {given}");
    cluster.succeed(&["node", "rm", &name])?;
    eventually(&format!("no route to {given}"), || {
        let left = route(&given)?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
}

pub(crate) fn agent_restarted(cluster: &Cluster) -> Result<()> {
    let (ns, addresses) = deploy(cluster, "overlay-restart")?;
    let name = format!("{}-3", cluster.name());
    let node = cluster.numbered(3);
    let ready_since = || {
        let object = ns.get("node", &name)?;
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.get("type").is_some_and(|kind| kind == "Ready"));
        Ok::<_, anyhow::Error>(
            ready
                .context("no condition Ready")?
                .get("lastTransitionTime")
                .cloned(),
        )
    };
    let before = ready_since()?;
    for _ in 0..3 {
        node.succeed("systemctl restart floe-agent && sleep 1")?;
        pods_reach_pods(&ns, &addresses)?;
    }
    let lost =
        node.succeed("journalctl -u floe-agent -o cat | grep -c 'cannot take pods any more' || true")?;
    ensure!(
        lost.trim() == "0",
        "the network was given up {} times",
        lost.trim()
    );
    ensure!(ready_since()? == before, "{name} was not Ready in between");
    Ok(())
}

pub(crate) fn other_network(cluster: &Cluster) -> Result<()> {
    let (ns, addresses) = deploy(cluster, "overlay-others")?;
    let node = cluster.numbered(3);
    let theirs = "/etc/cni/net.d/20-theirs.conflist";
    let text = r#"{"cniVersion": "1.0.0", "name": "theirs", "plugins": [{"type": "loopback"}]}"#;
    node.succeed(&format!(
        "echo '{text}' > {theirs} && systemctl restart floe-agent"
    ))?;
    let withdrawn = eventually("our network to give way", || {
        node.succeed("! test -e /etc/cni/net.d/10-floe.conflist && ! ip link show floe.vx")
            .map(drop)
    });
    node.succeed(&format!("rm {theirs} && systemctl restart floe-agent"))?;
    withdrawn?;
    eventually("our network to be back", || pods_reach_pods(&ns, &addresses))
}

pub(crate) fn network_in_use(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("overlay-in-use")?;
    let name = format!("{}-3", cluster.name());
    let node = cluster.numbered(3);
    let own = subnet(&ns, cluster, 3)?;
    let part = own.replace("/24", "/25");
    node.succeed(&format!(
        "ip route add {part} dev host0 && systemctl restart floe-agent"
    ))?;
    let told = eventually("the node to say what is in the way", || {
        let shown = ns.succeed(&["describe", "node", &name])?;
        let wanted =
            format!("the pod network {own} of this node overlaps {part}, which is in use on its link host0");
        ensure!(
            shown.contains("container runtime network not ready") && shown.contains(&wanted),
            "{shown}"
        );
        Ok(())
    });
    node.succeed(&format!(
        "ip route del {part} dev host0 && systemctl restart floe-agent"
    ))?;
    told?;
    eventually("the node to be Ready", || {
        let shown = ns.succeed(&["get", "node", &name])?;
        ensure!(shown.contains(" Ready "), "{shown}");
        Ok(())
    })
}
