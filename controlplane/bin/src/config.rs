//! The configuration file: read raw, then checked into what the daemon uses.

mod history;
mod network;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use controlplane_pki::BootstrapToken;
use controlplane_raft::join::JoinToken;
use controlplane_store_sqlite::Keep;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::Deserialize;

pub(crate) use network::Network;

use crate::backups::{self, Schedule};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    state_dir: PathBuf,
    listen: String,
    peer_listen: Option<String>,
    advertise_address: Option<String>,
    server_name: Option<String>,
    join: Option<Addresses>,
    join_token_file: Option<PathBuf>,
    public_address: Option<String>,
    cert_names: Vec<String>,
    cluster_name: String,
    pod_cidr: String,
    node_cidr_mask_size: u8,
    service_cidr: String,
    cluster_dns: Option<String>,
    cluster_domain: String,
    bootstrap_token_file: Option<PathBuf>,
    components: BTreeSet<Component>,
    node_monitor_grace_seconds: u32,
    terminated_pod_threshold: usize,
    backup: Option<backups::Raw>,
    history: history::Raw,
    log: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/floe/controlplane"),
            listen: "[::]:6443".to_owned(),
            peer_listen: None,
            advertise_address: None,
            server_name: None,
            join: None,
            join_token_file: None,
            public_address: None,
            cert_names: Vec::new(),
            cluster_name: "floe".to_owned(),
            pod_cidr: "10.42.0.0/16".to_owned(),
            node_cidr_mask_size: 24,
            service_cidr: "10.43.0.0/16".to_owned(),
            cluster_dns: None,
            cluster_domain: "cluster.local".to_owned(),
            bootstrap_token_file: None,
            components: [Component::Apiserver, Component::Controllers, Component::Scheduler].into(),
            node_monitor_grace_seconds: 50,
            terminated_pod_threshold: 12_500,
            backup: None,
            history: history::Raw::default(),
            log: "info".to_owned(),
        }
    }
}

/// One server or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Addresses {
    One(String),
    Several(Vec<String>),
}

/// Least seconds a node may be silent: it renews its lease every ten.
const MIN_GRACE: u32 = 11;

/// A part of the daemon that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Component {
    Apiserver,
    Controllers,
    Scheduler,
}

/// The configuration, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) state_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    /// Where other servers are answered.
    pub(crate) peer_listen: SocketAddr,
    /// What people call this server.
    pub(crate) server_name: String,
    /// Servers of the cluster to join, and the token for it; read only while this one has no state.
    pub(crate) join: Option<(Vec<String>, JoinToken)>,
    /// Where nodes and clients reach the API.
    pub(crate) advertise: SocketAddr,
    /// Where clients reach the API whichever server is up, as `HOST:PORT`; for kubeconfigs.
    pub(crate) public_address: Option<String>,
    pub(crate) cert_names: Vec<String>,
    pub(crate) cluster_name: String,
    pub(crate) network: Network,
    pub(crate) cluster_domain: String,
    pub(crate) bootstrap_token: Option<BootstrapToken>,
    pub(crate) components: BTreeSet<Component>,
    /// How long a node may be silent before it counts as unreachable.
    pub(crate) node_monitor_grace: Duration,
    /// Ended pods beyond this number are deleted; 0 keeps all.
    pub(crate) terminated_pod_threshold: usize,
    /// How much history is kept on disk.
    pub(crate) history: Keep,
    /// Backups by schedule, if any.
    pub(crate) backups: Option<Schedule>,
    pub(crate) log: String,
}

/// Reads and checks the file.
///
/// # Errors
///
/// Names file, key and value of the first thing that is wrong.
pub(crate) fn load(file: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the configuration file {}", file.display()))?;
    check(&text).with_context(|| format!("in {}", file.display()))
}

fn check(text: &str) -> anyhow::Result<Config> {
    let raw: Raw =
        toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.to_string().trim_end()))?;
    let listen: SocketAddr = parsed("listen", &raw.listen)?;
    let address = match &raw.advertise_address {
        Some(text) => parsed("advertise_address", text)?,
        None if listen.ip().is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        None => listen.ip(),
    };
    let peer_listen = match &raw.peer_listen {
        Some(text) => parsed("peer_listen", text)?,
        None => SocketAddr::new(listen.ip(), next_port(listen)?),
    };
    let network = Network::check(&network::Keys {
        pod_cidr: &raw.pod_cidr,
        node_cidr_mask_size: raw.node_cidr_mask_size,
        service_cidr: &raw.service_cidr,
        cluster_dns: raw.cluster_dns.as_deref(),
        advertise: address,
    })?;
    if !raw.components.contains(&Component::Apiserver) {
        bail!("components: the apiserver must be among them until components can run apart");
    }
    if raw.node_monitor_grace_seconds < MIN_GRACE {
        bail!(
            "node_monitor_grace_seconds = {}: must be at least {MIN_GRACE}, or every node's renewal is late",
            raw.node_monitor_grace_seconds
        );
    }
    if !raw.state_dir.is_absolute() {
        bail!("state_dir = {:?}: must be an absolute path", raw.state_dir);
    }
    Ok(Config {
        listen,
        peer_listen,
        join: join(raw.join, raw.join_token_file.as_deref())?,
        server_name: raw.server_name.unwrap_or_else(host_name),
        advertise: SocketAddr::new(address, listen.port()),
        network,
        bootstrap_token: raw.bootstrap_token_file.as_deref().map(token).transpose()?,
        state_dir: raw.state_dir,
        cert_names: names(raw.cert_names, raw.public_address.as_deref())?,
        public_address: raw.public_address,
        cluster_name: raw.cluster_name,
        cluster_domain: raw.cluster_domain,
        components: raw.components,
        node_monitor_grace: Duration::from_secs(raw.node_monitor_grace_seconds.into()),
        terminated_pod_threshold: raw.terminated_pod_threshold,
        history: history::check(&raw.history)?,
        backups: raw.backup.map(Schedule::check).transpose()?,
        log: raw.log,
    })
}

/// The port for other servers where the configuration names none: the one after the API's.
fn next_port(listen: SocketAddr) -> anyhow::Result<u16> {
    listen
        .port()
        .checked_add(1)
        .context("listen: there is no port after this one, so the key `peer_listen` is needed")
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn parsed<T>(key: &str, text: &str) -> anyhow::Result<T>
where
    T: std::str::FromStr,
    T::Err: fmt::Display,
{
    text.parse()
        .map_err(|error| anyhow::anyhow!("{key} = {text:?}: {error}"))
}

/// A length of time such as `90s`, `6h` or `7d`; a day has 24 hours.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, jiff::Error> {
    text.parse::<Span>()?
        .to_duration(SpanRelativeTo::days_are_24_hours())
}

/// Names for the certificate: those of the file, and the one of `public_address`.
fn names(mut names: Vec<String>, public: Option<&str>) -> anyhow::Result<Vec<String>> {
    let Some(public) = public else {
        return Ok(names);
    };
    let url: Option<http::uri::Authority> = public.parse().ok();
    let url = url.filter(|url| url.port().is_some() && !url.as_str().contains('@'));
    let url = url.with_context(|| {
        format!("public_address = {public:?}: must be a host and a port, such as api.example.com:6443")
    })?;
    names.push(url.host().trim_matches(['[', ']']).to_owned());
    Ok(names)
}

fn join(
    servers: Option<Addresses>,
    token: Option<&Path>,
) -> anyhow::Result<Option<(Vec<String>, JoinToken)>> {
    let servers = servers.map(|servers| match servers {
        Addresses::One(server) => vec![server],
        Addresses::Several(servers) => servers,
    });
    let (servers, file) = match (servers, token) {
        (None, None) => return Ok(None),
        (Some(servers), Some(file)) => (servers, file),
        (Some(_), None) => {
            bail!("join: the key `join_token_file` must name a copy of the other server's join-token")
        }
        (None, Some(_)) => {
            bail!("join_token_file: the key `join` must say which server to join, as host:6444")
        }
    };
    let wrong = servers.iter().find(|server| !server.contains(':'));
    if let Some(wrong) = wrong.or(servers.is_empty().then_some(&String::new())) {
        bail!("join = {wrong:?}: must be the host and the peer port of a server, such as 10.0.0.1:6444");
    }
    let what = || format!("join_token_file = {:?}", file.display().to_string());
    let text = std::fs::read_to_string(file).with_context(what)?;
    Ok(Some((servers, JoinToken::parse(&text).with_context(what)?)))
}

fn token(file: &Path) -> anyhow::Result<BootstrapToken> {
    let what = || format!("bootstrap_token_file = {:?}", file.display().to_string());
    let text = std::fs::read_to_string(file).with_context(what)?;
    BootstrapToken::parse(text.trim()).with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default_configuration() {
        let config = check("").unwrap();
        assert_eq!(config.listen, "[::]:6443".parse().unwrap());
        assert_eq!(config.peer_listen, "[::]:6444".parse().unwrap());
        assert!(!config.server_name.is_empty());
        assert_eq!(config.components.len(), 3);
        assert_eq!(config.network.dns.to_string(), "10.43.0.10");
    }

    #[test]
    fn what_is_wrong_is_named_by_key_and_value() {
        for (text, words) in [
            ("colour = 1", vec!["colour", "unknown field"]),
            ("listen = \"here\"", vec!["listen", "here"]),
            (
                "service_cidr = \"10.42.1.0/24\"",
                vec!["service_cidr", "10.42.1.0/24", "pod_cidr"],
            ),
            ("join = \"10.0.0.1:6444\"", vec!["join", "join_token_file"]),
            (
                "join = [\"10.0.0.1\"]\njoin_token_file = \"/no/such\"",
                vec!["join", "10.0.0.1:6444"],
            ),
            (
                "public_address = \"api.lan\"",
                vec!["public_address", "api.lan", "a port"],
            ),
            ("components = [\"etcd\"]", vec!["components", "etcd"]),
            ("components = []", vec!["components", "apiserver"]),
            ("state_dir = \"x\"", vec!["state_dir", "x"]),
            (
                "bootstrap_token_file = \"/no/such\"",
                vec!["bootstrap_token_file", "/no/such"],
            ),
        ] {
            let message = format!("{:#}", check(text).unwrap_err());
            for word in words {
                assert!(message.contains(word), "{text}: {message}");
            }
        }
    }
}
