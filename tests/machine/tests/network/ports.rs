//! Host ports: who reaches them, and how long.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node, eventually};
use tests_machine::traces;

use crate::services::{NODES, from_outside, node_address};

/// What a pod is told whose port another of the node has.
const REFUSED: &str = "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";

/// A web server on port 8080 of the node with `number`; it answers with its name and the client's address.
fn server(cluster: &Cluster, name: &str, number: u8, ports: &Value) -> Value {
    let script = format!(
        "mkdir -p /tmp/www/cgi-bin; printf '#!/bin/sh\\necho\\necho {name}_$REMOTE_ADDR\\n' > /tmp/www/cgi-bin/who
         chmod +x /tmp/www/cgi-bin/who; printf 'I:cgi-bin/who\\n' > /tmp/httpd.conf
         exec httpd -f -p 8080 -h /tmp/www -c /tmp/httpd.conf"
    );
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "nodeName": format!("{}-{number}", cluster.name()),
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script], "ports": ports,
                "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
            }],
            "volumes": [{ "name": "tmp", "emptyDir": {} }],
        },
    })
}

fn port(number: u16, address: &str, protocol: &str) -> Value {
    json!([{ "containerPort": 8080, "hostPort": number, "hostIP": address, "protocol": protocol }])
}

fn deploy(ns: &Namespace, pods: &[Value]) -> Result<()> {
    let documents: Vec<String> = pods.iter().map(Value::to_string).collect();
    ns.apply(&documents.join("\n---\n"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=240s"])
        .map(drop)
}

fn url(address: IpAddr, port: u16) -> String {
    format!("http://{address}:{port}/cgi-bin/who")
}

/// Name and client, as the server says them.
fn from_pod(ns: &Namespace, pod: &str, url: &str) -> Result<String> {
    let said = ns.succeed(&["exec", pod, "--", "timeout", "3", "wget", "-q", "-O", "-", url])?;
    Ok(said.trim().to_owned())
}

fn from_node(cluster: &Cluster, number: u8, url: &str) -> Result<String> {
    let said = cluster
        .numbered(number)
        .succeed(&format!("timeout 3 busybox wget -q -O - {url}"))?;
    Ok(said.trim().to_owned())
}

/// Waits until who asks by `ask` is answered with `wanted` in it: a pod is Ready before its server listens.
fn answered(from: &str, wanted: &str, ask: impl Fn() -> Result<String>) -> Result<()> {
    eventually(&format!("an answer with {wanted} to {from}"), || {
        let said = ask()?;
        ensure!(said.contains(wanted), "{said}");
        Ok(())
    })
}

fn address(ns: &Namespace, pod: &str) -> Result<String> {
    let found = ns.get("pod", pod)?;
    let address = found.pointer("/status/podIP").and_then(Value::as_str);
    Ok(address.context("the pod has no address")?.to_owned())
}

fn closed(cluster: &Cluster, number: u8, port: u16) -> Result<()> {
    let probe = format!("! timeout 3 busybox wget -q -O - http://127.0.0.1:{port}/cgi-bin/who");
    cluster.numbered(number).wait_until_succeeds(&probe).map(drop)
}

pub(crate) fn everywhere(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("hostports")?;
    let before = traces(&cluster.numbered(2), ns.name())?;
    let none = json!([]);
    deploy(
        &ns,
        &[
            server(cluster, "open", 2, &port(8088, "", "TCP")),
            server(cluster, "near", 2, &none),
            server(cluster, "far", 1, &none),
        ],
    )?;
    let node = node_address(cluster, &ns, 2)?;
    let open = url(node, 8088);
    // The host stands for what lies outside; its own address is the gateway of the machines.
    answered("the host", "open_", || from_outside(node, 8088, "/cgi-bin/who"))?;
    for number in NODES {
        let from = format!("node {number}");
        answered(&from, "open_", || from_node(cluster, number, &open))?;
    }
    let near = address(&ns, "near")?;
    answered("a pod beside it", &near, || from_pod(&ns, "near", &open))?;
    answered("a pod of another node", "open_", || from_pod(&ns, "far", &open))?;
    answered("itself", "open_", || from_pod(&ns, "open", &open))?;
    let loopback = "http://127.0.0.1:8088/cgi-bin/who";
    answered("its node's loopback", "open_", || from_node(cluster, 2, loopback))?;
    closed(cluster, 1, 8088)?;
    // Another is refused by the node where the scheduler was passed by.
    ns.apply(&server(cluster, "late", 2, &port(8088, "", "TCP")).to_string())?;
    let told = |found: &Value, field: &str| {
        let pointer = format!("/status/{field}");
        found.pointer(&pointer).and_then(Value::as_str).map(str::to_owned)
    };
    let late = ns.wait_for("pod", "late", |found| {
        told(found, "phase").as_deref() == Some("Failed")
    })?;
    ensure!(
        told(&late, "reason").as_deref() == Some("NodePorts")
            && told(&late, "message").as_deref() == Some(REFUSED),
        "{late}"
    );
    ns.succeed(&["delete", "pod", "open"])?;
    closed(cluster, 2, 8088)?;
    ns.succeed(&["delete", "pods", "--all"])?;
    eventually("nothing left", || {
        let left = traces(&cluster.numbered(2), ns.name())?;
        let left: Vec<_> = left
            .difference(&before)
            .filter(|line| line.contains("hostports"))
            .collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

pub(crate) fn no_conflict(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("hostips")?;
    let node = node_address(cluster, &ns, 3)?;
    let own = node.to_string();
    deploy(
        &ns,
        &[
            server(cluster, "loopback", 3, &port(8089, "127.0.0.1", "TCP")),
            server(cluster, "address", 3, &port(8089, &own, "TCP")),
            server(cluster, "datagrams", 3, &port(8089, &own, "UDP")),
        ],
    )?;
    let (loopback, open) = ("http://127.0.0.1:8089/cgi-bin/who", url(node, 8089));
    answered("the node's loopback", "loopback_", || {
        from_node(cluster, 3, loopback)
    })?;
    answered("the node", "address_", || from_node(cluster, 3, &open))?;
    answered("the host", "address_", || {
        from_outside(node, 8089, "/cgi-bin/who")
    })?;
    let table = cluster
        .numbered(3)
        .succeed("nft list table inet hostports-floe")?;
    ensure!(
        table.contains("hostips/address") && table.contains("hostips/datagrams"),
        "{table}"
    );
    Ok(())
}

pub(crate) fn vandalised(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("hostvandals")?;
    deploy(&ns, &[server(cluster, "web", 2, &port(8090, "", "TCP"))])?;
    let node = cluster.numbered(2);
    let open = url(node_address(cluster, &ns, 2)?, 8090);
    let works = |after: &str| {
        eventually(&format!("the host port after {after}"), || {
            for number in [1, 2] {
                let said = from_node(cluster, number, &open)?;
                ensure!(said.starts_with("web_"), "{said}");
            }
            Ok(())
        })
    };
    works("its pod's start")?;
    for vandalism in [
        "nft delete table inet hostports-floe",
        "nft flush ruleset",
        "nft flush chain inet hostports-floe prerouting",
        "nft flush map inet hostports-floe ports4",
        "systemctl stop floe-agent; nft flush ruleset; systemctl start floe-agent",
    ] {
        let before = node.succeed("date +%s.%N")?;
        node.succeed(vandalism)?;
        works(vandalism)?;
        let told = format!(
            "journalctl -u floe-agent --since=@{} | grep 'host ports were gone'",
            before.trim()
        );
        node.wait_until_succeeds(&told)?;
    }
    let name = node.name().to_owned();
    for verb in ["stop", "start"] {
        cluster.succeed(&["node", verb, &name])?;
    }
    works("a reboot")?;
    // What is deleted while nobody looks after it is gone when the agent is back.
    node.succeed("systemctl stop floe-agent")?;
    ns.succeed(&["delete", "pod", "web", "--wait=false"])?;
    node.succeed("systemctl start floe-agent")?;
    ns.succeed(&["wait", "--for=delete", "pod/web", "--timeout=240s"])?;
    closed(cluster, 2, 8090)
}
