//! The configuration file.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use agent_core::node::Reserved;
use agent_core::quantity;
use agent_runtime::NodePaths;
use anyhow::{Context as _, anyhow};
use http::uri::Authority;
use ipnet::Ipv4Net;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::Deserialize;

use crate::image_gc::Thresholds;

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    node_name: Option<String>,
    node_ip: Option<IpAddr>,
    server: OneOrMore,
    ca_file: PathBuf,
    bootstrap_token_file: Option<PathBuf>,
    #[serde(default = "defaults::state_dir")]
    state_dir: PathBuf,
    #[serde(default = "defaults::run_dir")]
    run_dir: PathBuf,
    #[serde(default = "defaults::listen")]
    listen: SocketAddr,
    pod_cidr: Option<String>,
    #[serde(default = "defaults::cluster_cidr")]
    cluster_cidr: String,
    #[serde(default = "defaults::service_cidr")]
    service_cidr: String,
    #[serde(default = "defaults::cluster_dns")]
    cluster_dns: IpAddr,
    #[serde(default = "defaults::cluster_domain")]
    cluster_domain: String,
    #[serde(default = "defaults::cni_bin_dir")]
    cni_bin_dir: PathBuf,
    #[serde(default = "defaults::cni_conf_dir")]
    cni_conf_dir: PathBuf,
    #[serde(default = "defaults::max_pods")]
    max_pods: u32,
    reserved_cpu: Option<String>,
    reserved_memory: Option<String>,
    #[serde(default = "defaults::registries_file")]
    registries_file: PathBuf,
    #[serde(default = "defaults::eviction_disk_percent")]
    eviction_disk_percent: u8,
    #[serde(default = "defaults::image_gc_high_percent")]
    image_gc_high_percent: u8,
    #[serde(default = "defaults::image_gc_low_percent")]
    image_gc_low_percent: u8,
    #[serde(default = "defaults::log")]
    log: String,
}

/// One server or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

mod defaults {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::path::PathBuf;

    pub(super) fn state_dir() -> PathBuf {
        "/var/lib/floe/agent".into()
    }
    pub(super) fn run_dir() -> PathBuf {
        "/run/floe".into()
    }
    pub(super) fn listen() -> SocketAddr {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 10250))
    }
    pub(super) fn cluster_cidr() -> String {
        "10.42.0.0/16".to_owned()
    }
    pub(super) fn service_cidr() -> String {
        "10.43.0.0/16".to_owned()
    }
    pub(super) fn cluster_dns() -> IpAddr {
        Ipv4Addr::new(10, 43, 0, 10).into()
    }
    pub(super) fn cluster_domain() -> String {
        "cluster.local".to_owned()
    }
    pub(super) fn cni_bin_dir() -> PathBuf {
        "/usr/lib/floe/cni".into()
    }
    pub(super) fn cni_conf_dir() -> PathBuf {
        "/etc/cni/net.d".into()
    }
    pub(super) fn max_pods() -> u32 {
        110
    }
    pub(super) fn registries_file() -> PathBuf {
        "/etc/floe/registries.toml".into()
    }
    pub(super) fn eviction_disk_percent() -> u8 {
        10
    }
    pub(super) fn image_gc_high_percent() -> u8 {
        85
    }
    pub(super) fn image_gc_low_percent() -> u8 {
        80
    }
    pub(super) fn log() -> String {
        "info".to_owned()
    }
}

/// The file, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) node_name: String,
    pub(crate) node_ip: IpAddr,
    /// Servers of the API, one at least; more are learnt.
    pub(crate) servers: Vec<Authority>,
    pub(crate) ca_file: PathBuf,
    pub(crate) bootstrap_token_file: Option<PathBuf>,
    pub(crate) state_dir: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Network of this node's pods, where it is not the one of the Node object.
    pub(crate) pod_cidr: Option<Ipv4Net>,
    /// Networks of all nodes' pods: they see each other's own addresses.
    pub(crate) cluster_cidr: Ipv4Net,
    pub(crate) service_cidr: String,
    pub(crate) cluster_dns: IpAddr,
    pub(crate) cluster_domain: String,
    pub(crate) cni_bin_dir: PathBuf,
    pub(crate) cni_conf_dir: PathBuf,
    pub(crate) max_pods: u32,
    pub(crate) reserved: Reserved,
    /// `registries.toml`; need not exist.
    pub(crate) registries_file: PathBuf,
    /// Part of the state's file system that is to stay free: below it the node has disk pressure
    /// and takes no pods.
    pub(crate) eviction_disk_percent: u8,
    pub(crate) image_gc: Thresholds,
    pub(crate) log: String,
}

impl Config {
    /// Reads and checks `path`.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read config {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("config {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let raw: Raw = toml::from_str(text)?;
        let servers = servers(raw.server)?;
        let cluster_cidr = network("cluster_cidr", &raw.cluster_cidr)?;
        let pod_cidr = raw
            .pod_cidr
            .as_deref()
            .map(|text| own_network(text, cluster_cidr));
        check_cidr("service_cidr", &raw.service_cidr)?;
        let reserved = Reserved {
            milli_cpu: amount("reserved_cpu", raw.reserved_cpu.as_deref(), quantity::milli)?,
            memory: amount("reserved_memory", raw.reserved_memory.as_deref(), quantity::units)?,
        };
        let node_ip = raw.node_ip.map_or_else(|| address_towards(&servers), Ok)?;
        Ok(Self {
            node_name: raw.node_name.map_or_else(own_hostname, Ok)?,
            node_ip,
            servers,
            ca_file: raw.ca_file,
            bootstrap_token_file: raw.bootstrap_token_file,
            state_dir: raw.state_dir,
            run_dir: raw.run_dir,
            listen: raw.listen,
            pod_cidr: pod_cidr.transpose()?,
            cluster_cidr,
            service_cidr: raw.service_cidr,
            cluster_dns: raw.cluster_dns,
            cluster_domain: raw.cluster_domain,
            cni_bin_dir: raw.cni_bin_dir,
            cni_conf_dir: raw.cni_conf_dir,
            max_pods: raw.max_pods,
            reserved,
            eviction_disk_percent: raw.eviction_disk_percent,
            image_gc: thresholds(raw.image_gc_high_percent, raw.image_gc_low_percent)?,
            registries_file: raw.registries_file,
            log: raw.log,
        })
    }

    /// Folder of the image store.
    pub(crate) fn image_dir(&self) -> PathBuf {
        self.state_dir.join("images")
    }

    /// Where things lie on this node, with the pinned `floe_run`.
    pub(crate) fn paths(&self, floe_run: PathBuf) -> NodePaths {
        NodePaths {
            run_dir: self.run_dir.clone(),
            state_dir: self.state_dir.clone(),
            floe_run,
            crun: crate::libexec::find_program("crun").unwrap_or_else(|| "/usr/bin/crun".into()),
        }
    }
}

fn servers(raw: OneOrMore) -> anyhow::Result<Vec<Authority>> {
    let texts = match raw {
        OneOrMore::One(text) => vec![text],
        OneOrMore::More(texts) => texts,
    };
    let read = |text: &String| {
        let url: http::Uri = text
            .parse()
            .with_context(|| format!("key server = {text:?}: no URL"))?;
        url.authority()
            .filter(|_| url.scheme_str() == Some("https"))
            .cloned()
            .ok_or_else(|| anyhow!("key server = {text:?}: must be https://HOST:PORT"))
    };
    let servers: Vec<Authority> = texts.iter().map(read).collect::<anyhow::Result<_>>()?;
    match servers.is_empty() {
        true => Err(anyhow!(
            "key server = []: must name one server at least, as https://HOST:PORT"
        )),
        false => Ok(servers),
    }
}

fn thresholds(high: u8, low: u8) -> anyhow::Result<Thresholds> {
    if high <= 100 && low < high {
        return Ok(Thresholds { high, low });
    }
    Err(anyhow!(
        "keys image_gc_high_percent = {high} and image_gc_low_percent = {low}: the high one must be at most 100 \
         and the low one below it"
    ))
}

fn amount(key: &str, text: Option<&str>, read: impl Fn(&Quantity) -> Option<u64>) -> anyhow::Result<u64> {
    let Some(text) = text else { return Ok(0) };
    read(&Quantity(text.to_owned()))
        .ok_or_else(|| anyhow!("key {key} = {text:?}: no quantity such as \"100m\" or \"512Mi\""))
}

/// A network of IPv4 with room for pods.
fn network(key: &str, text: &str) -> anyhow::Result<Ipv4Net> {
    let parsed = text.parse::<Ipv4Net>().ok();
    let usable = |net: &Ipv4Net| *net == net.trunc() && (8..=30).contains(&net.prefix_len());
    parsed.filter(usable).ok_or_else(|| {
        anyhow!("key {key} = {text:?}: no network of IPv4 with room for pods such as \"10.42.0.0/24\"")
    })
}

/// A node's part of `cluster`.
fn own_network(text: &str, cluster: Ipv4Net) -> anyhow::Result<Ipv4Net> {
    let own = network("pod_cidr", text)?;
    if cluster.contains(&own) {
        return Ok(own);
    }
    Err(anyhow!(
        "key pod_cidr = {text:?}: lies outside of cluster_cidr = \"{cluster}\", so no other node would route it here"
    ))
}

fn check_cidr(key: &str, text: &str) -> anyhow::Result<()> {
    let parts = text.split_once('/').and_then(|(ip, length)| {
        let ip: IpAddr = ip.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        Some(length <= if ip.is_ipv4() { 32 } else { 128 })
    });
    if parts == Some(true) {
        return Ok(());
    }
    Err(anyhow!(
        "key {key} = {text:?}: no range of addresses such as \"10.42.0.0/24\""
    ))
}

fn own_hostname() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname().context("read the host name; set the key node_name")?;
    let name = name
        .into_string()
        .map_err(|name| anyhow!("host name {} is no text", name.display()))?;
    Ok(name.to_lowercase())
}

/// The address this machine would use to reach the server: no packet is sent.
fn address_towards(servers: &[Authority]) -> anyhow::Result<IpAddr> {
    let server = servers.first().context("key server: names none")?;
    let host = server.host().trim_matches(['[', ']']);
    let port = server.port_u16().unwrap_or(443);
    let bind = if host.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    let attempt = || {
        let socket = UdpSocket::bind(bind)?;
        socket.connect((host, port))?;
        socket.local_addr()
    };
    let found = attempt().context("find the node's address; set the key node_ip")?;
    Ok(found.ip())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The least that can be configured.
    pub(crate) fn least() -> Config {
        Config::parse(LEAST).unwrap()
    }

    const LEAST: &str = "server = \"https://127.0.0.1:6443\"\nca_file = \"/ca\"\nnode_name = \"n\"\n";

    #[test]
    fn what_is_not_said_has_the_documented_default() {
        let config = Config::parse(LEAST).unwrap();
        assert_eq!(config.listen.port(), 10250);
        assert_eq!(config.node_ip, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(config.max_pods, 110);
    }

    #[test]
    fn an_unknown_key_and_a_bad_value_are_named() {
        let error = |extra: &str| format!("{:#}", Config::parse(&format!("{LEAST}{extra}")).unwrap_err());
        assert!(error("colour = 1").contains("colour"));
        assert!(error("pod_cidr = \"10.42.0.1/24\"").contains("pod_cidr = \"10.42.0.1/24\""));
        assert!(
            error("pod_cidr = \"192.168.0.0/24\"").contains("outside of cluster_cidr = \"10.42.0.0/16\"")
        );
        assert!(error("reserved_cpu = \"lots\"").contains("reserved_cpu = \"lots\""));
        assert!(error("image_gc_low_percent = 90").contains("image_gc_low_percent = 90"));
        let more = LEAST.replace(
            "\"https://127.0.0.1:6443\"",
            "[\"https://10.0.0.1:6443\", \"https://10.0.0.2:6443\"]",
        );
        assert_eq!(
            Config::parse(&format!("{more}node_ip = \"10.0.0.9\""))
                .unwrap()
                .servers
                .len(),
            2
        );
        let none = LEAST.replace("\"https://127.0.0.1:6443\"", "[]");
        assert!(format!("{:#}", Config::parse(&none).unwrap_err()).contains("one server at least"));
        let http = LEAST.replace("https", "http");
        assert!(format!("{:#}", Config::parse(&http).unwrap_err()).contains("https://HOST:PORT"));
    }
}
