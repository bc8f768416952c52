//! `vxlan` behind `bridge`, on nodes that share a network.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use cni_plugins_netlink::{Entry, Site, inside};
use serde_json::{Value, json};

use crate::node::{Netns, Node, address};

/// The network between the nodes: node `n` has 192.0.2.n on its link `uplink`.
fn lan(nodes: &[&Node], mtu: u32) -> Netns {
    let lan = Netns::new();
    lan.sh("ip link add lan type bridge && ip link set lan up");
    for (node, n) in nodes.iter().zip(1..) {
        let to = &node.netns.0;
        lan.sh(&format!(
            "ip link add p{n} mtu {mtu} type veth peer name uplink mtu {mtu} netns {to} && ip link set p{n} master lan up"
        ));
        node.netns.sh(&format!(
            "ip addr add 192.0.2.{n}/24 dev uplink && ip link set uplink up"
        ));
    }
    lan
}

/// Node `n` with the pods' subnet 10.88.n.0/24.
fn node(n: u8) -> Option<Node> {
    let mut node = Node::new()?;
    node.config["ipam"]["ranges"] = json!([[{"subnet": format!("10.88.{n}.0/24")}]]);
    node.config["mtu"] = json!(1450);
    Some(node)
}

fn site(n: u8) -> Site {
    Site {
        subnet: format!("10.88.{n}.0/24").parse().unwrap(),
        node: [192, 0, 2, n].into(),
    }
}

fn chained(n: u8, extra: Value) -> Value {
    let site = site(n);
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "vxlan", "mtu": 1450,
        "local": site.node, "subnet": site.subnet, "prevResult": {"cniVersion": "1.1.0", "ips": []},
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    config
}

/// ADD of both plugins; returns the pod's address.
fn add(node: &Node, n: u8, id: &str, pod: &Netns) -> String {
    let made = node.ok("bridge", "ADD", Some((id, &pod.path())), json!({}));
    let config = chained(n, json!({"prevResult": made}));
    let output = node.run(&[], "vxlan", "ADD", Some((id, &pod.path())), &config);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result, made, "the result is handed on");
    address(&made)
}

/// Makes `node` know `other`, with the tools of an operator.
fn introduce(node: &Node, other: Site) {
    for entry in other.entries() {
        let said = node.netns.sh(&match entry {
            Entry::Forward { mac, node } => {
                format!("bridge fdb add {mac} dev floe.vx dst {node} self permanent")
            }
            Entry::Neighbour { address, mac } => {
                format!("ip neigh add {address} lladdr {mac} dev floe.vx nud permanent")
            }
            Entry::Route { subnet, via } => {
                format!("ip route add {subnet} via {} dev floe.vx onlink", via.unwrap())
            }
            Entry::Address(_) => String::new(),
        });
        assert_eq!(said, "");
    }
}

/// The address that `to` in `there` sees of a connection from `here`, over which 100 KiB come.
fn seen(here: &Netns, there: &Netns, to: &str) -> IpAddr {
    let any_port: SocketAddr = format!("{to}:0").parse().unwrap();
    let listener = inside(&there.path(), || TcpListener::bind(any_port))
        .unwrap()
        .unwrap();
    let to = listener.local_addr().unwrap();
    let sender = std::thread::spawn({
        let path = here.path();
        move || {
            let mut stream = inside(&path, || TcpStream::connect(to)).unwrap().unwrap();
            stream.write_all(&[7; 100 << 10]).unwrap();
        }
    });
    let (mut stream, from) = listener.accept().unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), 100 << 10);
    sender.join().unwrap();
    from.ip()
}

#[test]
fn pods_and_nodes_reach_pods_of_other_nodes_and_are_seen_as_themselves() {
    let (Some(one), Some(two), Some(three)) = (node(1), node(2), node(3)) else {
        return;
    };
    let nodes = [&one, &two, &three];
    let _lan = lan(&nodes, 1500);
    let pods: Vec<Netns> = nodes.iter().map(|_| Netns::new()).collect();
    let mut addresses = Vec::new();
    for ((node, n), pod) in nodes.iter().zip(1..).zip(&pods) {
        addresses.push(add(node, n, "a", pod));
    }
    for (node, n) in nodes.iter().zip(1_u8..) {
        (1..=3).filter(|m| *m != n).for_each(|m| introduce(node, site(m)));
    }
    for (m, to) in addresses.iter().enumerate() {
        for n in 0..3 {
            if n != m {
                let from = seen(&pods[n], &pods[m], to);
                assert_eq!(from.to_string(), addresses[n], "pod {n} to pod {m}");
                let from = seen(&nodes[n].netns, &pods[m], to);
                let n = u8::try_from(n + 1).unwrap();
                assert_eq!(from, site(n).address(), "node {n} to pod {m}");
            }
        }
    }
}

#[test]
fn add_makes_the_device_right_whatever_became_of_it() {
    let Some(node) = node(1) else { return };
    let _lan = lan(&[&node], 1500);
    let pod = Netns::new();
    let target = Some(("a", pod.path()));
    let target = target.as_ref().map(|(id, path)| (*id, path.as_path()));
    let call = |verb: &str| node.run(&[], "vxlan", verb, target, &chained(1, json!({})));
    let spoiled = [
        "true",
        "ip link del floe.vx",
        "ip link set floe.vx down",
        "ip link set floe.vx mtu 1400",
        "ip addr flush dev floe.vx",
        "ip link set floe.vx address 02:00:00:00:00:01",
        "ip link del floe.vx; ip link add floe.vx type vxlan id 7 dstport 8472 local 192.0.2.1",
    ];
    for spoil in spoiled {
        assert!(call("ADD").status.success());
        node.netns.sh(spoil);
        assert_eq!(call("CHECK").status.success(), spoil == "true", "{spoil}");
        assert!(call("ADD").status.success(), "{spoil}");
        assert!(call("CHECK").status.success(), "{spoil}");
    }
    let ra = node.netns.sh("cat /proc/sys/net/ipv6/conf/floe.vx/accept_ra");
    assert_eq!(ra.trim(), "0", "a pod could make itself the node's router");
    let link = node.netns.sh("ip -d link show floe.vx; ip addr show floe.vx");
    for part in [
        "0a:58:0a:58:01:00",
        "vxlan id 42",
        "dstport 8472",
        "nolearning",
        "mtu 1450",
        "10.88.1.0/32",
    ] {
        assert!(link.contains(part), "{part}: {link}");
    }
}

#[test]
fn what_others_programmed_on_the_device_stays() {
    let Some(node) = node(1) else { return };
    let _lan = lan(&[&node], 1500);
    let pod = Netns::new();
    add(&node, 1, "a", &pod);
    introduce(&node, site(2));
    node.netns.sh("ip link set floe.vx mtu 1300");
    add(&node, 1, "a", &pod);
    assert!(
        node.netns
            .sh("ip route")
            .contains("10.88.2.0/24 via 10.88.2.0 dev floe.vx")
    );
    assert!(node.netns.sh("ip neigh").contains("10.88.2.0"));
    node.run(
        &[],
        "vxlan",
        "DEL",
        Some(("a", &pod.path())),
        &chained(1, json!({})),
    );
    node.run(
        &[],
        "vxlan",
        "GC",
        None,
        &chained(1, json!({"cni.dev/valid-attachments": []})),
    );
    assert!(
        node.netns
            .sh("ip route")
            .contains("10.88.2.0/24 via 10.88.2.0 dev floe.vx")
    );
}

#[test]
fn status_says_what_is_missing() {
    let Some(node) = node(1) else { return };
    let status = || {
        let output = node.run(&[], "vxlan", "STATUS", None, &chained(1, json!({})));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        said["msg"].as_str().unwrap_or("ready").to_owned()
    };
    assert_eq!(status(), "no link has this node's address 192.0.2.1");
    let _lan = lan(&[&node], 1490);
    assert!(status().contains("1450 bytes do not fit"), "{}", status());
    node.netns.sh("ip link set uplink mtu 1500");
    assert_eq!(status(), "ready");
    node.netns.sh("ip link add floe.vx type bridge");
    assert!(
        status().contains("is a bridge and no VXLAN device"),
        "{}",
        status()
    );
    node.netns.sh("ip link del floe.vx; ip link set uplink down");
    assert!(status().contains("link uplink with this node's address 192.0.2.1 is down"));
}

#[test]
fn the_mtu_is_what_the_uplink_leaves_where_none_is_said() {
    let Some(node) = node(1) else { return };
    let _lan = lan(&[&node], 9000);
    let pod = Netns::new();
    let mut config = chained(1, json!({}));
    config.as_object_mut().unwrap().remove("mtu");
    for (uplink, device) in [(9000, 8950), (1600, 1550)] {
        node.netns.sh(&format!("ip link set uplink mtu {uplink}"));
        let output = node.run(&[], "vxlan", "ADD", Some(("a", &pod.path())), &config);
        assert!(output.status.success());
        assert!(
            node.netns
                .sh("ip link show floe.vx")
                .contains(&format!("mtu {device}"))
        );
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let Some(node) = node(1) else { return };
    let pod = Netns::new();
    let code = |extra: Value| {
        let output = node.run(&[], "vxlan", "ADD", Some(("a", &pod.path())), &chained(1, extra));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["code"], 7, "{said}");
        said["msg"].as_str().unwrap().to_owned()
    };
    assert!(code(json!({"prevResult": null})).contains("put it behind a plugin"));
    assert!(code(json!({"vnii": 42})).contains("vnii"));
    assert!(code(json!({"subnet": "10.88.1.9/24"})).contains("10.88.1.9/24"));
}
