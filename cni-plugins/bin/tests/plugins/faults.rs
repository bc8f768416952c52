//! Plugins that are killed at every step, and addresses that run out.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::node::{Netns, Node, address};
use crate::portmap::Site;

/// What changes something, or begins to.
const STEPS: &str = "sendto,write,openat,unlink,mkdir,ftruncate,setns,clone3";

/// Calls `bridge` and kills it at its `step`th system call of those; whether it got that far.
fn killed(node: &Node, verb: &str, pod: (&str, &Path), step: usize) -> bool {
    killed_call(node, ("bridge", verb), Some(pod), &node.config, step)
}

/// As [`killed`], for any plugin and configuration.
fn killed_call(
    node: &Node,
    (plugin, verb): (&str, &str),
    pod: Option<(&str, &Path)>,
    config: &Value,
    step: usize,
) -> bool {
    let (trace, inject) = (
        format!("trace={STEPS}"),
        format!("inject={STEPS}:signal=KILL:when={step}"),
    );
    let under = ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let output = node.run(&under, plugin, verb, pod, config);
    // strace ends as what it traces ends.
    output.status.signal() == Some(9) || output.status.code() == Some(137)
}

fn strace() -> bool {
    let there = Command::new("strace").arg("-V").output().is_ok();
    if !there {
        println!("skipped: needs strace");
    }
    there
}

/// Links of pods and reserved addresses on the node; what they are is printed with a failure.
fn left(node: &Node) -> (usize, usize) {
    let links = node.netns.links("veth");
    let reserved: Vec<_> = std::fs::read_dir(node.dir.path().join("data/pods"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().starts_with("10."))
        .collect();
    println!("left: {links:?} {reserved:?}");
    (links.len(), reserved.len())
}

#[test]
fn an_add_killed_at_any_step_is_cleaned_by_del_by_gc_or_by_the_next_add() {
    let Some(node) = Node::new() else { return };
    if !strace() {
        return;
    }
    let pod = Netns::new();
    let path = pod.path();
    let target = ("a", path.as_path());
    let mut step = 1;
    while killed(&node, "ADD", target, step) {
        match step % 3 {
            0 => drop(node.ok("bridge", "DEL", Some(target), json!({}))),
            1 => drop(node.ok("bridge", "GC", None, json!({"cni.dev/valid-attachments": []}))),
            _ => {
                node.ok("bridge", "ADD", Some(target), json!({}));
                assert_eq!(left(&node), (1, 1), "step {step}");
                node.ok("bridge", "DEL", Some(target), json!({}));
            }
        }
        assert_eq!(left(&node), (0, 0), "step {step}");
        step += 1;
    }
    assert!(step > 8, "only {step} steps were found");
}

#[test]
fn a_del_killed_at_any_step_is_finished_by_the_next() {
    let Some(node) = Node::new() else { return };
    if !strace() {
        return;
    }
    let pod = Netns::new();
    let path = pod.path();
    let target = ("a", path.as_path());
    let mut step = 1;
    loop {
        node.ok("bridge", "ADD", Some(target), json!({}));
        let cut_off = killed(&node, "DEL", target, step);
        node.ok("bridge", "DEL", Some(target), json!({}));
        assert_eq!(left(&node), (0, 0), "step {step}");
        if !cut_off {
            break;
        }
        step += 1;
    }
    assert!(step > 8, "only {step} steps were found");
}

#[test]
fn a_gc_killed_at_any_step_is_finished_by_the_next() {
    let Some(node) = Node::new() else { return };
    if !strace() {
        return;
    }
    let (kept, gone) = (Netns::new(), Netns::new());
    let valid = json!({"cni.dev/valid-attachments": [{"containerID": "kept", "ifname": "eth0"}]});
    let mut config = node.config.clone();
    config["cni.dev/valid-attachments"] = valid["cni.dev/valid-attachments"].clone();
    node.ok("bridge", "ADD", Some(("kept", &kept.path())), json!({}));
    let mut step = 1;
    loop {
        node.ok("bridge", "ADD", Some(("gone", &gone.path())), json!({}));
        assert_eq!(left(&node), (2, 2), "step {step}");
        let cut_off = killed_call(&node, ("bridge", "GC"), None, &config, step);
        node.ok("bridge", "GC", None, valid.clone());
        assert_eq!(left(&node), (1, 1), "step {step}");
        if !cut_off {
            break;
        }
        step += 1;
    }
    assert!(step > 8, "only {step} steps were found");
}

#[test]
fn a_vxlan_add_killed_at_any_step_is_finished_by_the_next() {
    let Some(node) = Node::new() else { return };
    if !strace() {
        return;
    }
    node.netns
        .sh("ip link add uplink type bridge && ip addr add 192.0.2.1/24 dev uplink && ip link set uplink up");
    let pod = Netns::new();
    let path = pod.path();
    let target = Some(("a", path.as_path()));
    let config = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "vxlan", "mtu": 1450, "local": "192.0.2.1",
        "subnet": "10.88.7.0/24", "prevResult": {"cniVersion": "1.1.0", "ips": []},
    });
    let mut step = 1;
    loop {
        let cut_off = killed_call(&node, ("vxlan", "ADD"), target, &config, step);
        for verb in ["ADD", "CHECK"] {
            let output = node.run(&[], "vxlan", verb, target, &config);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{verb} after step {step}: {said}");
        }
        node.netns.sh("ip link del floe.vx");
        if !cut_off {
            break;
        }
        step += 1;
    }
    assert!(step > 5, "only {step} steps were found");
}

#[test]
fn host_ports_are_all_there_or_all_gone_whichever_step_a_call_is_killed_at() {
    let Some(site) = Site::new() else { return };
    if !strace() {
        return;
    }
    let ports = json!([
        {"hostPort": 80, "containerPort": 8080, "protocol": "tcp"},
        {"hostPort": 53, "containerPort": 8080, "protocol": "udp", "hostIP": "192.0.2.1"},
    ]);
    let pod = site.pod("a", ports);
    let (all, mut config) = (site.elements(), site.config(&pod));
    config["cni.dev/valid-attachments"] = json!([]);
    let target = pod.target();
    for (verb, begins_whole) in [("ADD", false), ("DEL", true), ("GC", true)] {
        let mut step = 1;
        loop {
            site.succeed(if begins_whole { "ADD" } else { "DEL" }, &pod);
            if !begins_whole && step % 2 == 0 {
                // The first ADD of a node makes the table, too.
                site.node.netns.sh("nft delete table inet hostports-pods");
            }
            let call = (verb != "GC").then_some((target.0, target.1.as_path()));
            let cut_off = killed_call(&site.node, ("portmap", verb), call, &config, step);
            let left = site.elements();
            assert!(left == all || left == 0, "{verb} at step {step}: {left} of {all}");
            // Nobody is kept out by a lock of the dead.
            site.succeed("ADD", &pod);
            assert_eq!(site.elements(), all, "{verb} at step {step}");
            if !cut_off {
                break;
            }
            step += 1;
        }
        assert!(step > 5, "only {step} steps of {verb} were found");
    }
}

#[test]
fn the_link_is_gone_from_both_sides_when_del_returns() {
    let Some(node) = Node::new() else { return };
    let pod = Netns::new();
    for _ in 0..10 {
        node.ok("bridge", "ADD", Some(("a", &pod.path())), json!({}));
        node.ok("bridge", "DEL", Some(("a", &pod.path())), json!({}));
        assert!(!pod.sh("ip link").contains("eth0"));
        assert_eq!(left(&node), (0, 0));
    }
}

#[test]
fn an_exhausted_range_is_said_with_the_subnet_and_one_freed_address_serves_again() {
    let Some(mut node) = Node::new() else { return };
    node.config["ipam"]["ranges"] = json!([[{"subnet": "10.88.7.0/30"}]]);
    let (a, b) = (Netns::new(), Netns::new());
    node.ok("bridge", "ADD", Some(("a", &a.path())), json!({}));
    let output = node.call("bridge", "ADD", Some(("b", &b.path())), json!({}));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("no address is free in 10.88.7.0/30") && said.contains("101"),
        "{said}"
    );
    assert_eq!(left(&node), (1, 1));
    assert_eq!(node.code("STATUS", None, json!({})), 51);
    node.ok("bridge", "DEL", Some(("a", &a.path())), json!({}));
    let made = node.ok("bridge", "ADD", Some(("b", &b.path())), json!({}));
    assert_eq!(address(&made), "10.88.7.2");
}
