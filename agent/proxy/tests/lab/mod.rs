//! A node in network namespaces: two pods on a bridge, a pod of another node, a machine outside.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agent_proxy::{Config, Engine, Model, Service, Slice, Sweep, Update, sweep};
use cni_plugins_nft::{KernelFlows, KernelRuleset};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(4);

/// Who is where. `node` has 10.88.0.2 and 10.88.1.2; `p1` 10.42.0.2 and `p2` 10.42.0.3 are its pods;
/// `far` 10.42.1.2 is another node's; `out` 10.88.0.9 is no part of the cluster.
pub(crate) struct Lab {
    prefix: String,
    engine: Option<Engine<KernelRuleset>>,
}

const PLACES: [&str; 5] = ["node", "p1", "p2", "far", "out"];

impl Lab {
    /// Builds it; `None` where that is impossible.
    pub(crate) fn build() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("fp{}-{number}-", std::process::id());
        let able = Command::new("nft").arg("--version").output().is_ok();
        if !able || !ip(&["netns", "add", &format!("{prefix}node")]) {
            return None;
        }
        let mut lab = Self { prefix, engine: None };
        for place in PLACES.iter().skip(1) {
            assert!(ip(&["netns", "add", &lab.netns(place)]));
        }
        lab.wire();
        let config = Config {
            node_name: "n1".to_owned(),
            pod_ranges: ["10.42.0.0/16", "fd42::/16"]
                .map(|net| net.parse().expect("a range"))
                .to_vec(),
            node_local: vec![addr("10.43.0.10")],
        };
        let mut engine = lab.inside("node", || {
            Engine::new(Model::new(config), KernelRuleset::open().expect("a socket"))
        });
        engine.update(Update::Services(Vec::new()));
        engine.update(Update::Slices(Vec::new()));
        lab.engine = Some(engine);
        Some(lab)
    }

    fn netns(&self, place: &str) -> String {
        format!("{}{place}", self.prefix)
    }

    fn wire(&self) {
        let node = self.netns("node");
        for place in PLACES {
            // Duplicate address detection would keep addresses back for seconds.
            self.sh(
                place,
                "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up",
            );
        }
        self.sh(
            "node",
            "ip link add floe0 type bridge && ip addr add 10.42.0.1/24 dev floe0 && ip link set floe0 up
             echo 1 > /proc/sys/net/ipv4/ip_forward
             echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables",
        );
        let ends = [
            (
                "p1",
                "10.42.0.2/24",
                "10.42.0.1",
                "ip link set PLACE master floe0; echo 1 > /sys/class/net/PLACE/brport/hairpin_mode || bridge link set dev PLACE hairpin on",
                "",
            ),
            (
                "p2",
                "10.42.0.3/24",
                "10.42.0.1",
                "ip link set PLACE master floe0; echo 1 > /sys/class/net/PLACE/brport/hairpin_mode || bridge link set dev PLACE hairpin on",
                "",
            ),
            ("far", "10.42.1.2/24", "10.42.1.1", "", "10.42.1.1/24"),
            ("out", "10.88.0.9/24", "10.88.0.2", "", "10.88.0.2/24"),
        ];
        for (place, own, gateway, master, near) in ends {
            let there = self.netns(place);
            assert!(ip(&[
                "link", "add", "eth0", "netns", &there, "type", "veth", "peer", "name", place, "netns",
                &node,
            ]));
            self.sh(
                place,
                &format!("ip addr add {own} dev eth0 && ip link set eth0 up"),
            );
            let near = if near.is_empty() {
                String::new()
            } else {
                format!("ip addr add {near} dev {place} &&")
            };
            self.sh(
                "node",
                &format!(
                    "{near} ip link set {place} up\n{}",
                    master.replace("PLACE", place)
                ),
            );
            self.sh(place, &format!("ip route add default via {gateway}"));
        }
        self.wire_six();
        // A second address, and a way out as every node has one.
        self.sh(
            "node",
            "ip addr add 10.88.1.2/32 dev lo && ip route add default via 10.88.0.9",
        );
    }

    fn wire_six(&self) {
        let six = [
            ("p1", "fd42::2/64", "fd42::1"),
            ("p2", "fd42::3/64", "fd42::1"),
            ("far", "fd42:1::2/64", "fd42:1::1"),
            ("out", "fd88::9/64", "fd88::2"),
        ];
        self.sh(
            "node",
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
             echo 1 > /proc/sys/net/bridge/bridge-nf-call-ip6tables
             ip addr add fd42::1/64 dev floe0 nodad
             ip addr add fd42:1::1/64 dev far nodad
             ip addr add fd88::2/64 dev out nodad
             ip -6 route add default via fd88::9",
        );
        for (place, own, gateway) in six {
            let add = format!("ip addr add {own} dev eth0 nodad; ip -6 route add default via {gateway}");
            self.sh(place, &add);
        }
    }

    /// Runs `command` in `place`; it must succeed.
    pub(crate) fn sh(&self, place: &str, command: &str) -> String {
        let netns = self.netns(place);
        let output = Command::new("ip")
            .args(["netns", "exec", &netns, "sh", "-ec", command])
            .output()
            .expect("ip runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: {command}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `work` on a thread inside of `place`.
    pub(crate) fn inside<T: Send>(&self, place: &str, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.netns(place))).expect("a namespace");
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root");
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Makes the table so and cleans up behind it.
    pub(crate) fn program(&mut self, services: Vec<Service>, slices: Vec<Slice>) {
        let mut engine = self.engine.take().expect("an engine");
        engine.update(Update::Services(services));
        engine.update(Update::Slices(slices));
        let engine = self.inside("node", move || {
            let report = engine.sync().expect("services programmed");
            let work = Sweep::after(&engine, &report.targets);
            let mut flows = KernelFlows::open().expect("a socket");
            sweep(&work, engine.rules(), &mut flows).expect("cleaned up");
            engine
        });
        self.engine = Some(engine);
    }

    /// Compares the table as after a notice of someone's change; says whether it was not right.
    pub(crate) fn repair(&mut self) -> bool {
        let mut engine = self.engine.take().expect("an engine");
        let (engine, repaired) = self.inside("node", move || {
            engine.distrust();
            let report = engine.sync().expect("repaired");
            (engine, report.rebuilt || report.changed > 0)
        });
        self.engine = Some(engine);
        repaired
    }

    /// Serves TCP and UDP on `port` in `place`, with its name and the peer's address as the answer.
    pub(crate) fn serve(&self, place: &'static str, port: u16) {
        let (tcp, udp) = self.inside(place, || {
            let any = SocketAddr::from(([0_u16; 8], port));
            (
                TcpListener::bind(any).expect("a port"),
                UdpSocket::bind(any).expect("a port"),
            )
        });
        // Both end with the process: nothing closes them.
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let Ok(mut stream) = stream else { return };
                let peer = stream.peer_addr();
                let peer = peer.map_or_else(|_| "?".to_owned(), |peer| peer.ip().to_canonical().to_string());
                drop(stream.write_all(format!("{place} {peer}").as_bytes()));
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                drop(udp.send_to(format!("{place} {}", peer.ip().to_canonical()).as_bytes(), peer));
            }
        });
    }

    /// What a server answers over TCP, or the kind of error.
    pub(crate) fn get(&self, place: &str, target: &str) -> String {
        let target: SocketAddr = target.parse().expect("a target");
        self.inside(place, move || fetch(target, PATIENCE))
    }

    /// What a server answers over UDP, or the kind of error.
    pub(crate) fn ask(&self, place: &str, target: &str) -> String {
        let socket = self.udp(place, target);
        ask(&socket)
    }

    /// A UDP socket in `place` that sends to `target`.
    pub(crate) fn udp(&self, place: &str, target: &str) -> UdpSocket {
        let target: SocketAddr = target.parse().expect("a target");
        self.inside(place, move || {
            let socket = UdpSocket::bind("[::]:0").expect("a port");
            socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            socket.connect(target).expect("a route");
            socket
        })
    }
}

/// What a server answers over TCP, or the kind of error.
pub(crate) fn fetch(target: SocketAddr, patience: Duration) -> String {
    let attempt = || {
        let mut stream = TcpStream::connect_timeout(&target, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    attempt().unwrap_or_else(|error| error.kind().to_string())
}

/// What the server of `socket` answers, or the kind of error.
pub(crate) fn ask(socket: &UdpSocket) -> String {
    let attempt = || {
        socket.send(b"?")?;
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer)?;
        Ok::<_, std::io::Error>(
            String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned(),
        )
    };
    attempt().unwrap_or_else(|error| error.kind().to_string())
}

fn addr(text: &str) -> std::net::IpAddr {
    text.parse().expect("an address")
}

fn ip(words: &[&str]) -> bool {
    Command::new("ip")
        .args(words)
        .status()
        .is_ok_and(|status| status.success())
}

impl Drop for Lab {
    fn drop(&mut self) {
        for place in PLACES {
            ip(&["netns", "del", &self.netns(place)]);
        }
    }
}
