//! Networks beyond this host: a web server in a namespace of its own stands for them.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tests_harness::{Cluster, Node, eventually};
use tests_machine::pod;

const PORT: u16 = 8080;
/// The authorities that registries' certificates are checked by.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Another network, behind this host.
struct Outside {
    netns: String,
    link: String,
    /// This host's address in it.
    host: Ipv4Addr,
    /// The web server's.
    server: Ipv4Addr,
}

impl Outside {
    /// Makes it beside the network of `cluster`, numbered as that is, and serves a page that tells the
    /// client's address.
    fn make(cluster: &Cluster, node: Ipv4Addr) -> Result<Self> {
        let [_, _, number, _] = node.octets();
        let outside = Self {
            netns: format!("floe-out-{}", cluster.name()),
            link: format!("floe-out{number}"),
            host: Ipv4Addr::new(198, 18, number, 1),
            server: Ipv4Addr::new(198, 18, number, 2),
        };
        let Self {
            netns,
            link,
            host,
            server,
        } = &outside;
        ip(&format!("netns add {netns}"))?;
        ip(&format!("link add {link} type veth peer name eth0 netns {netns}"))?;
        ip(&format!("addr add {host}/30 dev {link}"))?;
        ip(&format!("link set {link} up"))?;
        ip(&format!("-n {netns} addr add {server}/30 dev eth0"))?;
        ip(&format!("-n {netns} link set lo up"))?;
        ip(&format!("-n {netns} link set eth0 up"))?;
        // The server knows the way to the machines, so that only the host keeps it from going there.
        ip(&format!("-n {netns} route add default via {host}"))?;
        outside.serve()?;
        Ok(outside)
    }

    /// Serves from a thread that lives in the namespace and ends with the test program.
    fn serve(&self) -> Result<()> {
        let path = format!("/run/netns/{}", self.netns);
        let address = (self.server, PORT);
        let (sender, begun) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let listen = || -> Result<TcpListener> {
                let netns = std::fs::File::open(path)?;
                move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&netns),
                    Some(LinkNameSpaceType::Network),
                )?;
                Ok(TcpListener::bind(address)?)
            };
            let listener = match listen() {
                Ok(listener) => listener,
                Err(error) => return drop(sender.send(Err(error))),
            };
            drop(sender.send(Ok(())));
            for stream in listener.incoming().flatten() {
                drop(answer(stream));
            }
        });
        begun.recv().context("the server's thread ended")?
    }

    /// Whether a program in the other network reaches a port of `address`.
    fn reaches(&self, address: Ipv4Addr, port: u16) -> Result<bool> {
        let open = format!("exec 3<>/dev/tcp/{address}/{port}");
        let words = ["netns", "exec", &self.netns, "timeout", "3", "bash", "-c", &open];
        Ok(Command::new("ip").args(words).output()?.status.success())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // The server's thread holds the namespace, and so the link's other end.
        drop(ip(&format!("link del {}", self.link)));
        drop(ip(&format!("netns del {}", self.netns)));
    }
}

fn answer(mut stream: std::net::TcpStream) -> std::io::Result<()> {
    let client = stream.peer_addr()?.ip();
    let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n";
    // The request is short and is not needed; read, so that closing resets nothing.
    std::io::Read::read(&mut stream, &mut [0; 1024])?;
    stream.write_all(format!("{head}{client}\n").as_bytes())
}

fn ip(words: &str) -> Result<()> {
    let done = Command::new("ip").args(words.split_whitespace()).output()?;
    ensure!(
        done.status.success(),
        "ip {words}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

fn address(node: &impl Node) -> Result<Ipv4Addr> {
    let shown = node.succeed("ip -4 -o addr show host0")?;
    let found = shown
        .split_whitespace()
        .find_map(|word| word.split_once('/')?.0.parse().ok());
    found.context("the node has no address")
}

pub(crate) fn reached(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("outside")?;
    let first = address(&cluster.node())?;
    let outside = Outside::make(cluster, first)?;
    let url = format!("http://{}:{PORT}/", outside.server);
    let seen = outside.host.to_string();
    for number in 1..=3 {
        let node = cluster.numbered(number);
        let said = node.wait_until_succeeds(&format!("timeout 5 busybox wget -q -O - {url}"))?;
        ensure!(said.trim() == seen, "node {number} is seen as {said}");
    }
    let fetch = format!("timeout 5 wget -q -O - {url} && sleep 3600");
    ns.apply(&pod("client", "Always", &fetch))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/client", "--timeout=240s"])?;
    let said = eventually("the pod's answer", || {
        let said = ns.succeed(&["logs", "client"])?;
        ensure!(!said.trim().is_empty(), "nothing yet");
        Ok(said)
    })?;
    ensure!(said.trim() == seen, "a pod is seen as {said}");
    eventually("the other network's own server", || {
        ensure!(outside.reaches(outside.server, PORT)?, "not reached");
        Ok(())
    })?;
    for port in [6443, 10250] {
        ensure!(
            !outside.reaches(first, port)?,
            "port {port} of a machine is open to other networks"
        );
    }
    if let Ok(authorities) = std::fs::read(AUTHORITIES) {
        let there = cluster.node().succeed(&format!("cat {AUTHORITIES}"))?;
        ensure!(
            there.as_bytes() == authorities,
            "the machine trusts others than this host does"
        );
    }
    Ok(())
}
