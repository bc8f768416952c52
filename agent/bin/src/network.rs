//! The pods' network on this node: our configuration of it, and whether it can take pods.
//!
//! The file is ours for as long as it carries our mark and no other lies beside it: an operator's own
//! network, or one that is installed later, wins.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_cni::Cni;
use agent_overlay::{DEVICE, Options, Place, State};
use anyhow::Context as _;
use cni_plugins_netlink::Site;
use ipnet::Ipv4Net;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;

/// The bridge of this node's pods.
const BRIDGE: &str = "floe0";
/// Name of our file.
pub(crate) const FILE: &str = "10-floe.conflist";
/// The plugin of host ports.
pub(crate) const PORT_MAP: &str = "portmap";
/// The key that makes a file ours, and its value.
const MARK: (&str, &str) = ("managedBy", "floe-agent");
/// How often the folder and the plugins are asked anew while the network is ready, and while not.
const LOOK: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));

/// The network of this node's pods.
#[derive(Debug)]
pub(crate) struct Network {
    config: Config,
    /// Why it cannot take pods, where it cannot.
    unready: watch::Sender<Option<String>>,
}

impl Network {
    /// The network as the last start left it.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let dir = &config.cni_conf_dir;
        std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let unready = Cni::load(dir, &config.cni_bin_dir).err();
        Ok(Self {
            config: config.clone(),
            unready: watch::channel(unready.map(|error| error.to_string())).0,
        })
    }

    /// Tells why the network cannot take pods, where it cannot.
    pub(crate) fn unready(&self) -> watch::Receiver<Option<String>> {
        self.unready.subscribe()
    }

    /// Keeps the overlay and the configuration until `stop`.
    pub(crate) async fn run(self: Arc<Self>, client: Client, stop: CancellationToken) {
        let (wanted, overlay_wanted) = watch::channel(self.ours());
        let (told, mut state) = watch::channel(State::Unknown);
        let mut tasks = JoinSet::new();
        match self.config.node_ip {
            IpAddr::V4(node) => {
                let overlay = agent_overlay::run(client, self.options(node), overlay_wanted, told, stop.clone());
                tasks.spawn(overlay);
            }
            IpAddr::V6(node) => drop(told.send_replace(State::Unready(format!(
                "this node's address {node} is of IPv6 and the overlay needs one of IPv4: set the key node_ip, \
                 or put the configuration of another network into {}",
                self.config.cni_conf_dir.display()
            )))),
        }
        loop {
            let now = state.borrow_and_update().clone();
            let unready = self.look(&now, &wanted).await;
            let pause = if unready.is_none() { LOOK.0 } else { LOOK.1 };
            self.tell(unready);
            tokio::select! {
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => break,
                // Cancel-safe: a value counts as seen only once `changed` returns. The sender lives in a
                // task of this function, or was dropped for good: then only the folder can change.
                Ok(()) = state.changed() => {}
                // Cancel-safe: a dropped sleep loses nothing.
                () = tokio::time::sleep(pause) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    fn options(&self, node: Ipv4Addr) -> Options {
        Options {
            place: Place {
                name: self.config.node_name.clone(),
                node,
                subnet: self.config.pod_cidr,
                cluster: self.config.cluster_cidr,
                links: vec![BRIDGE.to_owned()],
            },
            memory: self.config.state_dir.join("nodes.json"),
        }
    }

    /// Puts the configuration right; returns why the network cannot take pods, where it cannot.
    async fn look(&self, state: &State, wanted: &watch::Sender<bool>) -> Option<String> {
        let ours = self.ours();
        wanted.send_if_modified(|wanted| std::mem::replace(wanted, ours) != ours);
        let put = match state {
            _ if !ours => self.give_way(),
            State::Ready { site, mtu } => self.write(*site, *mtu),
            State::Unready(why) => return Some(why.clone()),
            State::Unknown => return self.unready.borrow().clone(),
            State::Off => return Some("the overlay is being made".to_owned()),
        };
        if let Err(error) = put {
            return Some(format!("{error:#}"));
        }
        match Cni::load(&self.config.cni_conf_dir, &self.config.cni_bin_dir) {
            Ok(cni) => cni.status().await.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    fn tell(&self, unready: Option<String>) {
        let old = self.unready.borrow().clone();
        if old == unready {
            return;
        }
        match &unready {
            // On its first start a node waits for the control plane: nothing is wrong.
            Some(why) if old.is_some() => info!(reason = why, "network does not take pods yet"),
            Some(why) => warn!(reason = why, "network cannot take pods any more"),
            None => info!("network takes pods"),
        }
        self.unready.send_replace(unready);
    }

    fn file(&self) -> PathBuf {
        self.config.cni_conf_dir.join(FILE)
    }

    /// Whether the network is ours to configure: no other file is there, and ours is not made theirs.
    fn ours(&self) -> bool {
        let others = std::fs::read_dir(&self.config.cni_conf_dir)
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| is_conf(&entry.path()) && entry.file_name() != FILE);
        !others && marked(&self.file()) != Some(false)
    }

    /// Takes our file away for the sake of another: ours could be the first by name.
    fn give_way(&self) -> anyhow::Result<()> {
        let file = self.file();
        if marked(&file) != Some(true) {
            return Ok(());
        }
        info!(file = %file.display(), "another network is configured: ours is taken away");
        std::fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))
    }

    /// Writes our file where it is not so already, whole or not at all.
    fn write(&self, site: Site, mtu: u32) -> anyhow::Result<()> {
        let file = self.file();
        let text = serde_json::to_vec_pretty(&conflist(
            site,
            mtu,
            self.config.cluster_cidr,
            self.config.cluster_dns,
        ))?;
        if std::fs::read(&file).is_ok_and(|there| there == text) {
            return Ok(());
        }
        info!(subnet = %site.subnet, mtu, "pods' network configured");
        // A name that is no configuration's, so that nobody reads half of it.
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::rename(&fresh, &file))
            .with_context(|| format!("write {}", file.display()))
    }
}

fn is_conf(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ext| ["conf", "conflist", "json"].iter().any(|known| ext == *known))
}

/// Whether the file carries our mark, where there is one.
fn marked(file: &Path) -> Option<bool> {
    let bytes = std::fs::read(file).ok()?;
    let parsed: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let (key, value) = MARK;
    Some(parsed.get(key).and_then(Value::as_str) == Some(value))
}

/// The plugin of host ports. The address of the cluster's DNS is a local one on every node and still none
/// of the node's own: a pod with the host port 53 must not get the questions of all others.
fn port_map(dns: IpAddr) -> Value {
    let (key, family) = if dns.is_ipv4() {
        ("conditionsV4", "ip")
    } else {
        ("conditionsV6", "ip6")
    };
    json!({
        "type": PORT_MAP,
        "capabilities": { "portMappings": true },
        key: [family, "daddr", "!=", dns],
    })
}

/// The configuration of this node's network.
pub(crate) fn conflist(site: Site, mtu: u32, cluster: Ipv4Net, dns: IpAddr) -> Value {
    let (key, value) = MARK;
    json!({
        "cniVersion": "1.1.0",
        "name": "floe",
        key: value,
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": true,
                "ipMasq": true,
                "masqueradeExcept": [cluster],
                "hairpinMode": true,
                "mtu": mtu,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": site.subnet}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {
                "type": "vxlan",
                "device": DEVICE,
                "local": site.node,
                "subnet": site.subnet,
                "mtu": mtu,
            },
            port_map(dns),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site {
            subnet: "10.42.3.0/24".parse().unwrap(),
            node: [192, 0, 2, 3].into(),
        }
    }

    fn network(dir: &Path) -> Network {
        let mut config = crate::config::tests::least();
        config.cni_conf_dir = dir.join("net.d");
        Network::new(&config).unwrap()
    }

    #[test]
    fn the_configuration_is_written_and_follows_what_changes() {
        let dir = tempfile::tempdir().unwrap();
        let network = network(dir.path());
        assert!(network.unready().borrow().is_some() && network.ours());
        for mtu in [1450, 8950] {
            network.write(site(), mtu).unwrap();
            let written: Value = serde_json::from_slice(&std::fs::read(network.file()).unwrap()).unwrap();
            assert_eq!(written["plugins"][0]["mtu"], mtu);
            assert_eq!(written["plugins"][0]["masqueradeExcept"], json!(["10.42.0.0/16"]));
            assert_eq!(written["plugins"][1]["local"], "192.0.2.3");
            let ports = &written["plugins"][2];
            assert_eq!(ports["capabilities"]["portMappings"], true);
            assert_eq!(ports["conditionsV4"], json!(["ip", "daddr", "!=", "10.43.0.10"]));
            assert!(network.ours());
        }
        assert!(agent_cni::Cni::load(&dir.path().join("net.d"), dir.path()).is_ok());
    }

    #[test]
    fn an_operators_file_wins_and_ours_gives_way() {
        let dir = tempfile::tempdir().unwrap();
        let network = network(dir.path());
        network.write(site(), 1450).unwrap();
        let theirs = dir.path().join("net.d/20-theirs.conflist");
        std::fs::write(&theirs, "{}").unwrap();
        assert!(!network.ours());
        network.give_way().unwrap();
        assert!(!network.file().exists() && theirs.exists());
    }

    #[test]
    fn a_file_of_our_name_without_our_mark_is_the_operators() {
        let dir = tempfile::tempdir().unwrap();
        let network = network(dir.path());
        std::fs::write(network.file(), r#"{"name": "floe", "plugins": []}"#).unwrap();
        assert!(!network.ours());
        network.give_way().unwrap();
        assert!(network.file().exists());
    }
}
