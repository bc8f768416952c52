//! `bridge` and `host-local`, and `loopback`.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::node::{Netns, Node, address};

#[test]
fn pods_reach_each_other_the_node_and_themselves() {
    let Some(node) = Node::new() else { return };
    let (a, b) = (Netns::new(), Netns::new());
    let first = node.ok("bridge", "ADD", Some(("a", &a.path())), json!({}));
    let second = node.ok("bridge", "ADD", Some(("b", &b.path())), json!({}));
    assert_eq!(address(&first), "10.88.7.2");
    assert_eq!(first["interfaces"].as_array().unwrap().len(), 3);
    assert_eq!(first["interfaces"][2]["sandbox"], a.path().to_str().unwrap());
    let ping = |from: &Netns, to: &str| {
        assert!(
            from.sh(&format!("busybox ping -c1 -W2 {to}"))
                .contains(" 0% packet loss"),
            "{to}"
        )
    };
    ping(&a, &address(&second));
    ping(&b, &address(&first));
    ping(&a, "10.88.7.1");
    ping(&node.netns, &address(&first));
    assert!(a.sh("ip route").contains("default via 10.88.7.1 dev eth0"));
    assert!(a.sh("ip link show eth0").contains("mtu 1400"));
    assert_eq!(a.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra").trim(), "0");
    assert!(node.netns.sh("ip link").contains("alias cni pods a eth0"));
}

#[test]
fn a_pod_appears_as_the_node_outside_of_the_cluster() {
    let Some(node) = Node::new() else { return };
    let (pod, world) = (Netns::new(), Netns::new());
    node.ok("bridge", "ADD", Some(("a", &pod.path())), json!({}));
    node.ok("bridge", "ADD", Some(("a2", &Netns::new().path())), json!({}));
    node.netns.sh(&format!(
        "ip link add out type veth peer name eth0 netns {} && ip addr add 192.0.2.1/24 dev out && ip link set out up",
        world.0
    ));
    world.sh("ip addr add 192.0.2.9/24 dev eth0 && ip link set eth0 up");
    // The world knows no way back to the pods: an answer proves the node's address.
    assert!(
        pod.sh("busybox ping -c1 -W2 192.0.2.9")
            .contains(" 0% packet loss")
    );
    let rules = node.netns.sh("nft list table inet floe");
    assert_eq!(rules.matches("masquerade comment").count(), 1, "{rules}");
    assert!(
        rules.contains("network pods: 10.88.7.0/24 to all but 10.88.7.0/24 10.88.0.0/16"),
        "{rules}"
    );
}

#[test]
fn check_tells_what_is_gone() {
    let Some(node) = Node::new() else { return };
    let pod = Netns::new();
    let made = node.ok("bridge", "ADD", Some(("a", &pod.path())), json!({}));
    let target = Some(("a", pod.path()));
    let target = target.as_ref().map(|(id, path)| (*id, path.as_path()));
    let prev = json!({"prevResult": made});
    node.ok("bridge", "CHECK", target, prev.clone());
    pod.sh("ip route del default");
    assert_eq!(node.code("CHECK", target, prev.clone()), 102);
    pod.sh("ip route add default via 10.88.7.1");
    node.netns.sh("nft delete table inet floe");
    assert_eq!(node.code("CHECK", target, prev), 102);
}

#[test]
fn del_works_again_and_after_the_namespace_is_gone() {
    let Some(node) = Node::new() else { return };
    let pod = Netns::new();
    let path = pod.path();
    node.ok("bridge", "ADD", Some(("a", &path)), json!({}));
    drop(pod);
    for _ in 0..2 {
        node.ok("bridge", "DEL", Some(("a", &path)), json!({}));
        assert!(!node.netns.sh("ip link").contains("veth"));
        assert!(!node.dir.path().join("data/pods/10.88.7.2").exists());
    }
}

#[test]
fn a_failed_add_leaves_neither_link_nor_address() {
    let Some(node) = Node::new() else { return };
    let pod = Netns::new();
    pod.sh("ip link add eth0 type bridge");
    assert_eq!(node.code("ADD", Some(("a", &pod.path())), json!({})), 100);
    assert_eq!(
        node.code("ADD", Some(("b", Path::new("/run/netns/floe-none"))), json!({})),
        3
    );
    assert!(!node.netns.sh("ip link").contains("veth"));
    assert!(!node.dir.path().join("data/pods/10.88.7.2").exists());
    assert!(!node.dir.path().join("data/pods/10.88.7.3").exists());
}

#[test]
fn add_after_one_that_was_cut_off_replaces_the_link() {
    let Some(node) = Node::new() else { return };
    let (dead, pod) = (Netns::new(), Netns::new());
    node.ok("bridge", "ADD", Some(("a", &dead.path())), json!({}));
    node.ok("bridge", "ADD", Some(("a", &pod.path())), json!({}));
    assert_eq!(
        node.netns.sh("ip -o link show type veth").matches("veth").count(),
        1
    );
    assert!(pod.sh("ip addr show eth0").contains("10.88.7.2/24"));
}

#[test]
fn gc_frees_what_no_valid_attachment_holds() {
    let Some(node) = Node::new() else { return };
    let (a, b) = (Netns::new(), Netns::new());
    node.ok("bridge", "ADD", Some(("a", &a.path())), json!({}));
    node.ok("bridge", "ADD", Some(("b", &b.path())), json!({}));
    node.ok(
        "bridge",
        "GC",
        None,
        json!({"cni.dev/valid-attachments": [{"containerID": "b", "ifname": "eth0"}]}),
    );
    let links = node.netns.sh("ip link");
    assert!(!links.contains("alias cni pods a eth0") && links.contains("alias cni pods b eth0"));
    assert!(!node.dir.path().join("data/pods/10.88.7.2").exists());
    assert!(node.dir.path().join("data/pods/10.88.7.3").exists());
}

#[test]
fn adds_at_the_same_time_all_succeed() {
    let Some(node) = Node::new() else { return };
    let pods: Vec<Netns> = (0..6).map(|_| Netns::new()).collect();
    let node = &node;
    std::thread::scope(|scope| {
        for (n, pod) in pods.iter().enumerate() {
            scope.spawn(move || node.ok("bridge", "ADD", Some((&format!("p{n}"), &pod.path())), json!({})));
        }
    });
    let links = node.netns.sh("ip -o link show type veth");
    assert_eq!(links.matches("veth").count(), 6, "{links}");
    assert_eq!(
        node.netns
            .sh("nft list table inet floe")
            .matches("masquerade comment")
            .count(),
        1
    );
}

#[test]
fn ipv6_addresses_work_at_once() {
    let Some(mut node) = Node::new() else { return };
    node.config["ipam"]["ranges"] = json!([[{"subnet": "10.88.7.0/24"}], [{"subnet": "fd88:7::/64"}]]);
    let (a, b) = (Netns::new(), Netns::new());
    node.ok("bridge", "ADD", Some(("a", &a.path())), json!({}));
    let second = node.ok("bridge", "ADD", Some(("b", &b.path())), json!({}));
    assert_eq!(second["ips"][1]["address"], "fd88:7::3/64");
    assert!(
        a.sh("busybox ping -6 -c1 -W2 fd88:7::3")
            .contains(" 0% packet loss")
    );
    assert!(a.sh("ip -6 route").contains("default via fd88:7::1 dev eth0"));
}

#[test]
fn loopback_brings_lo_up() {
    let Some(node) = Node::new() else { return };
    let pod = Netns::new();
    let result = node.ok("loopback", "ADD", Some(("a", &pod.path())), json!({}));
    assert_eq!(result["ips"][0]["address"], "127.0.0.1/8");
    assert!(pod.sh("ip link show lo").contains("UP"));
    node.ok(
        "loopback",
        "CHECK",
        Some(("a", &pod.path())),
        json!({"prevResult": result}),
    );
}

#[test]
fn another_address_plugin_is_executed() {
    let Some(mut node) = Node::new() else { return };
    let script = r#"#!/bin/sh
cat > /dev/null; echo "$CNI_COMMAND $CNI_CONTAINERID" >> "$(dirname "$0")/calls"
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.1.0","ips":[{"address":"10.99.0.5/24","gateway":"10.99.0.1"}]}' || true
"#;
    let path = node.dir.path().join("fixed");
    std::fs::write(&path, script).unwrap();
    Command::new("chmod").arg("+x").arg(&path).status().unwrap();
    node.config["ipam"] = json!({"type": "fixed"});
    let pod = Netns::new();
    assert_eq!(
        address(&node.ok("bridge", "ADD", Some(("a", &pod.path())), json!({}))),
        "10.99.0.5"
    );
    node.ok("bridge", "DEL", Some(("a", &pod.path())), json!({}));
    assert_eq!(
        std::fs::read_to_string(node.dir.path().join("calls")).unwrap(),
        "ADD a\nDEL a\n"
    );
}
