//! `portmap` behind `bridge`: who reaches a port of the node, and from where it is seen.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use cni_plugins_netlink::inside;
use serde_json::{Value, json};

use crate::node::{Netns, Node};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// The node's addresses towards `Site::out`, and the address there.
const NODE: &str = "192.0.2.1";
const OTHER: &str = "192.0.2.2";
const OUT: &str = "192.0.2.9";

/// A node with two addresses, and a machine outside.
pub(crate) struct Site {
    pub(crate) node: Node,
    out: Netns,
}

/// A pod with what its ADD was asked with.
pub(crate) struct Pod {
    id: &'static str,
    netns: Netns,
    result: Value,
    mappings: Value,
    address: IpAddr,
}

impl Site {
    pub(crate) fn new() -> Option<Self> {
        let mut node = Node::new()?;
        node.config["ipam"]["ranges"] = json!([[{"subnet": "10.88.7.0/24"}], [{"subnet": "fd88:7::/64"}]]);
        let out = Netns::new();
        for place in [&node.netns, &out] {
            // Duplicate address detection would keep addresses back for seconds.
            place.sh("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
        }
        node.netns.sh(&format!(
            "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
             echo 1 > /proc/sys/net/bridge/bridge-nf-call-ip6tables
             ip link add out type veth peer name eth0 netns {} && ip link set out up
             ip addr add {NODE}/24 dev out && ip addr add {OTHER}/24 dev out
             ip addr add fd99::1/64 dev out nodad",
            out.0
        ));
        out.sh(&format!(
            "ip link set lo up; ip link set eth0 up; ip addr add {OUT}/24 dev eth0
             ip addr add fd99::9/64 dev eth0 nodad
             ip route add default via {NODE}; ip -6 route add default via fd99::1"
        ));
        Some(Self { node, out })
    }

    /// A pod that serves port 8080 and has `mappings`.
    pub(crate) fn pod(&self, id: &'static str, mappings: Value) -> Pod {
        let netns = Netns::new();
        let result = self
            .node
            .ok("bridge", "ADD", Some((id, &netns.path())), json!({}));
        let address = result["ips"][0]["address"].as_str().unwrap();
        let address = address.split('/').next().unwrap().parse().unwrap();
        serve(&netns, id, 8080);
        let pod = Pod {
            id,
            netns,
            result,
            mappings,
            address,
        };
        let added = self.succeed("ADD", &pod);
        assert_eq!(added, pod.result, "the result is handed on");
        pod
    }

    pub(crate) fn config(&self, pod: &Pod) -> Value {
        json!({
            "cniVersion": "1.1.0", "name": "pods", "type": "portmap",
            "runtimeConfig": {"portMappings": pod.mappings}, "prevResult": pod.result,
        })
    }

    fn call(&self, verb: &str, pod: &Pod) -> Output {
        let path = pod.netns.path();
        self.node
            .run(&[], "portmap", verb, Some((pod.id, &path)), &self.config(pod))
    }

    pub(crate) fn succeed(&self, verb: &str, pod: &Pod) -> Value {
        let output = self.call(verb, pod);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{verb}: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn code(&self, verb: &str, pod: &Pod) -> u64 {
        let output = self.call(verb, pod);
        assert!(!output.status.success(), "{verb} should have failed");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["code"]
            .as_u64()
            .unwrap()
    }

    fn gc(&self, valid: &[&str]) {
        let valid: Vec<Value> = valid
            .iter()
            .map(|id| json!({"containerID": id, "ifname": "eth0"}))
            .collect();
        let config = json!({
            "cniVersion": "1.1.0", "name": "pods", "type": "portmap", "cni.dev/valid-attachments": valid,
        });
        let output = self.node.run(&[], "portmap", "GC", None, &config);
        assert!(output.status.success());
    }

    /// How many elements the maps have: each names its container.
    pub(crate) fn elements(&self) -> usize {
        let table = self.node.netns.sh("nft list table inet hostports-pods");
        table.matches(" eth0\"").count()
    }
}

impl Pod {
    /// Its container and namespace.
    pub(crate) fn target(&self) -> (&'static str, PathBuf) {
        (self.id, self.netns.path())
    }
}

fn tcp(host: u16) -> Value {
    json!([{"hostPort": host, "containerPort": 8080, "protocol": "tcp"}])
}

fn on(address: &str, protocol: &str) -> Value {
    json!([{"hostPort": 80, "containerPort": 8080, "protocol": protocol, "hostIP": address}])
}

/// Serves TCP and UDP in `place` with `name` and the client's address as the answer, for as long as the
/// test program runs.
fn serve(place: &Netns, name: &'static str, port: u16) {
    let any = SocketAddr::from(([0_u16; 8], port));
    let (tcp, udp) = inside(&place.path(), || {
        (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap())
    })
    .unwrap();
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let peer = stream.peer_addr().unwrap().ip().to_canonical();
            drop(stream.write_all(format!("{name} {peer}").as_bytes()));
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            let answer = format!("{name} {}", peer.ip().to_canonical());
            drop(udp.send_to(answer.as_bytes(), peer));
        }
    });
}

/// What answers over TCP, or the kind of error.
fn get(place: &Netns, target: &str) -> String {
    let target: SocketAddr = target.parse().unwrap();
    let attempt = || {
        let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    inside(&place.path(), attempt)
        .unwrap()
        .unwrap_or_else(|error| error.kind().to_string())
}

fn client(place: &Netns, target: &str) -> UdpSocket {
    let target: SocketAddr = target.parse().unwrap();
    inside(&place.path(), || {
        let socket = UdpSocket::bind("[::]:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(target).unwrap();
        socket
    })
    .unwrap()
}

/// What answers over UDP, or the kind of error.
fn ask(socket: &UdpSocket) -> String {
    let attempt = || {
        socket.send(b"?")?;
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    attempt().unwrap_or_else(|error| error.kind().to_string())
}

#[test]
fn a_port_of_the_node_leads_to_the_pod_from_everywhere_and_sources_are_kept_where_they_can_be() {
    let Some(site) = Site::new() else { return };
    let pod = site.pod("a", tcp(80));
    let near = site.pod("b", json!([]));
    for target in [format!("{NODE}:80"), format!("{OTHER}:80")] {
        assert_eq!(get(&site.out, &target), format!("a {OUT}"));
        assert_eq!(get(&near.netns, &target), format!("a {}", near.address));
        assert!(get(&site.node.netns, &target).starts_with("a "), "{target}");
    }
    let gateway = "10.88.7.1";
    assert_eq!(get(&site.node.netns, "127.0.0.1:80"), format!("a {gateway}"));
    assert_eq!(get(&site.node.netns, "127.0.0.7:80"), format!("a {gateway}"));
    assert_eq!(
        get(&pod.netns, &format!("{NODE}:80")),
        format!("a {gateway}"),
        "itself"
    );
    assert_eq!(get(&near.netns, "10.88.7.1:80"), format!("a {}", near.address));
    assert_eq!(get(&site.out, &format!("{NODE}:81")), "connection refused");
    site.succeed("DEL", &pod);
    for place in [&site.out, &near.netns, &site.node.netns] {
        assert_eq!(get(place, &format!("{NODE}:80")), "connection refused");
    }
}

#[test]
fn a_port_leads_to_the_pod_over_ipv6_too() {
    let Some(site) = Site::new() else { return };
    let pod = site.pod("a", tcp(80));
    let near = site.pod("b", json!([]));
    assert_eq!(get(&site.out, "[fd99::1]:80"), "a fd99::9");
    assert!(get(&near.netns, "[fd99::1]:80").starts_with("a fd88:7::"));
    assert!(get(&site.node.netns, "[fd99::1]:80").starts_with("a "));
    assert!(get(&pod.netns, "[fd99::1]:80").starts_with("a "), "itself");
    // No kernel forwards what comes from there.
    assert_eq!(get(&site.node.netns, "[::1]:80"), "connection refused");
    assert_eq!(ask(&client(&site.out, "[fd99::1]:80")), "connection refused");
}

#[test]
fn pods_share_a_port_on_different_addresses_and_protocols() {
    let Some(site) = Site::new() else { return };
    let _one = site.pod("one", on(NODE, "tcp"));
    let _two = site.pod("two", on(OTHER, "tcp"));
    let _three = site.pod("three", on(OTHER, "udp"));
    let _four = site.pod("four", on("127.0.0.1", "tcp"));
    let _five = site.pod("five", on("fd99::1", "tcp"));
    assert_eq!(get(&site.out, &format!("{NODE}:80")), format!("one {OUT}"));
    assert_eq!(get(&site.out, &format!("{OTHER}:80")), format!("two {OUT}"));
    assert_eq!(
        ask(&client(&site.out, &format!("{OTHER}:80"))),
        format!("three {OUT}")
    );
    assert_eq!(
        ask(&client(&site.out, &format!("{NODE}:80"))),
        "connection refused"
    );
    assert!(get(&site.node.netns, "127.0.0.1:80").starts_with("four "));
    assert_eq!(get(&site.out, "[fd99::1]:80"), "five fd99::9");
    // The port of one address goes before the port of all.
    let _all = site.pod("all", tcp(80));
    assert_eq!(get(&site.out, &format!("{NODE}:80")), format!("one {OUT}"));
    assert!(get(&site.node.netns, "127.0.0.2:80").starts_with("all "));
}

#[test]
fn what_passes_through_the_node_is_left_alone() {
    let Some(site) = Site::new() else { return };
    let _taken = site.pod(
        "taken",
        json!([
            {"hostPort": 8080, "containerPort": 8080, "protocol": "tcp"},
            {"hostPort": 8080, "containerPort": 8080, "protocol": "udp", "hostIP": OUT},
        ]),
    );
    let near = site.pod("b", json!([]));
    serve(&site.out, "out", 8080);
    // A pod asks another machine, and another machine a pod, for the number that is a host port.
    assert!(get(&near.netns, &format!("{OUT}:8080")).starts_with("out "));
    assert!(
        ask(&client(&near.netns, &format!("{OUT}:8080"))).starts_with("out "),
        "no address of the node"
    );
    assert_eq!(
        get(&site.out, &format!("{}:8080", near.address)),
        format!("b {OUT}")
    );
}

#[test]
fn a_host_port_goes_before_a_socket_of_the_node_until_its_pod_goes() {
    let Some(site) = Site::new() else { return };
    serve(&site.node.netns, "node", 80);
    assert_eq!(get(&site.out, &format!("{NODE}:80")), format!("node {OUT}"));
    let pod = site.pod("a", tcp(80));
    assert_eq!(get(&site.out, &format!("{NODE}:80")), format!("a {OUT}"));
    site.succeed("DEL", &pod);
    assert_eq!(get(&site.out, &format!("{NODE}:80")), format!("node {OUT}"));
}

#[test]
fn a_udp_client_that_keeps_sending_follows_the_port() {
    let Some(site) = Site::new() else { return };
    let udp = json!([{"hostPort": 53, "containerPort": 8080, "protocol": "udp"}]);
    let clients = [
        client(&site.out, &format!("{NODE}:53")),
        client(&site.node.netns, "127.0.0.1:53"),
    ];
    let all = |wanted: &str| {
        for client in &clients {
            let said = ask(client);
            assert!(said.starts_with(wanted), "{wanted}: {said}");
        }
    };
    all("connection refused");
    let first = site.pod("first", udp.clone());
    all("first ");
    site.succeed("DEL", &first);
    all("connection refused");
    let second = site.pod("second", udp.clone());
    all("second ");
    // The newest has it, and the older one's end does not take it away.
    let third = site.pod("third", udp);
    all("third ");
    site.succeed("DEL", &second);
    all("third ");
    site.succeed("DEL", &third);
    all("connection refused");
}

#[test]
fn nobody_else_reaches_the_nodes_loopback() {
    let Some(site) = Site::new() else { return };
    serve(&site.node.netns, "node", 81);
    let pod = site.pod("a", tcp(80));
    assert!(get(&site.node.netns, "127.0.0.1:80").starts_with("a "));
    for place in [&pod.netns, &site.out] {
        place.sh(
            "ip addr del 127.0.0.1/8 dev lo; echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
             ip route del local 127.0.0.0/8 table local; ip route add 127.0.0.1 via $(ip route show default | cut -d' ' -f3)",
        );
        assert_eq!(get(place, "127.0.0.1:81"), "timed out");
        assert_eq!(get(place, "127.0.0.1:80"), "timed out");
    }
}

#[test]
fn calls_may_come_again_and_unknown_ones_are_harmless() {
    let Some(site) = Site::new() else { return };
    let mut pod = site.pod("a", tcp(80));
    let kept = site.pod("kept", tcp(81));
    let held = site.elements();
    site.succeed("ADD", &pod);
    assert_eq!(site.elements(), held, "a second ADD");
    site.succeed("CHECK", &pod);
    pod.mappings = tcp(82);
    assert_eq!(site.code("CHECK", &pod), 102);
    site.succeed("ADD", &pod);
    assert_eq!(get(&site.out, &format!("{NODE}:80")), "connection refused");
    assert_eq!(get(&site.out, &format!("{NODE}:82")), format!("a {OUT}"));
    site.gc(&["a", "kept"]);
    assert_eq!(site.elements(), held, "all are valid");
    site.gc(&["kept"]);
    assert_eq!(get(&site.out, &format!("{NODE}:82")), "connection refused");
    assert_eq!(get(&site.out, &format!("{NODE}:81")), format!("kept {OUT}"));
    for _ in 0..2 {
        site.succeed("DEL", &pod);
        site.succeed("DEL", &kept);
    }
    assert_eq!(site.elements(), 0);
    let mut config = site.config(&pod);
    config.as_object_mut().unwrap().remove("prevResult");
    let output = site
        .node
        .run(&[], "portmap", "ADD", Some(("a", &pod.netns.path())), &config);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && said.contains("behind a plugin"),
        "{said}"
    );
    assert!(
        site.node
            .call("portmap", "STATUS", None, json!({}))
            .status
            .success()
    );
}

#[test]
fn a_ruleset_that_was_flushed_is_noticed_by_check_and_made_anew_by_add() {
    let Some(site) = Site::new() else { return };
    let pod = site.pod("a", tcp(80));
    for damage in [
        "nft flush ruleset",
        "nft delete table inet hostports-pods",
        "nft flush chain inet hostports-pods prerouting",
        "nft flush map inet hostports-pods ports4",
    ] {
        site.node.netns.sh(damage);
        assert_eq!(site.code("CHECK", &pod), 102, "{damage}");
        site.succeed("ADD", &pod);
        site.succeed("CHECK", &pod);
        assert_eq!(
            get(&site.out, &format!("{NODE}:80")),
            format!("a {OUT}"),
            "{damage}"
        );
    }
    site.node.netns.sh("nft flush ruleset");
    site.succeed("DEL", &pod);
    site.gc(&[]);
}

#[test]
fn sources_are_masqueraded_as_the_settings_say_also_when_they_change() {
    let Some(site) = Site::new() else { return };
    let pod = site.pod("a", tcp(80));
    let add = |key: &str| {
        let mut config = site.config(&pod);
        config[key] = json!(key == "masqAll");
        let output = site
            .node
            .run(&[], "portmap", "ADD", Some((pod.id, &pod.netns.path())), &config);
        assert!(output.status.success(), "{output:?}");
    };
    let open = format!("{NODE}:80");
    add("masqAll");
    assert_eq!(get(&site.out, &open), "a 10.88.7.1");
    add("snat");
    assert_eq!(get(&site.out, &open), format!("a {OUT}"));
    assert_eq!(get(&pod.netns, &open), "timed out", "nobody answers itself");
    assert_eq!(get(&site.node.netns, "127.0.0.1:80"), "timed out");
    site.succeed("ADD", &pod);
    assert_eq!(get(&pod.netns, &open), "a 10.88.7.1");
    assert_eq!(get(&site.node.netns, "127.0.0.1:80"), "a 10.88.7.1");
}

#[test]
fn conditions_keep_a_port_from_an_address() {
    let Some(site) = Site::new() else { return };
    let pod = site.pod("a", tcp(80));
    let mut config = site.config(&pod);
    config["conditionsV4"] = json!(["ip", "daddr", "!=", OTHER]);
    let target = pod.target();
    let add = |config: &Value| {
        let output = site
            .node
            .run(&[], "portmap", "ADD", Some((target.0, &target.1)), config);
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    assert!(add(&config).0);
    assert_eq!(get(&site.out, &format!("{NODE}:80")), format!("a {OUT}"));
    assert_eq!(get(&site.out, &format!("{OTHER}:80")), "connection refused");
    config["conditionsV4"] = json!(["!", "-d", OTHER]);
    let (succeeded, said) = add(&config);
    assert!(
        !succeeded && said.contains("syntax error"),
        "in iptables' language: {said}"
    );
    assert_eq!(get(&site.out, &format!("{NODE}:80")), format!("a {OUT}"));
}

#[test]
fn a_table_of_another_version_is_replaced() {
    let Some(site) = Site::new() else { return };
    site.node.netns.sh(
        "nft add table inet hostports-pods; nft 'add map inet hostports-pods ports4 { type inet_service : ipv4_addr; }'",
    );
    let pod = site.pod("a", tcp(80));
    site.succeed("CHECK", &pod);
    assert_eq!(get(&site.out, &format!("{NODE}:80")), format!("a {OUT}"));
}
