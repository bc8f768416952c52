//! A cluster on this host: its name, its folders, and the record of what `up` decided.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use controlplane_machine::{Bridge, Machine, Place, Subnet, is_on_host};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::progress::Progress;
use crate::token;

const CLUSTERS: &str = "/var/lib/floe/clusters";
/// Root file systems and demo images; shared by every cluster and kept by `down`.
pub(crate) const CACHE: &str = "/var/cache/floe";

/// The name of a cluster: a DNS label, so that node names made from it are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterName(String);

impl ClusterName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClusterName {
    fn default() -> Self {
        Self("floe".to_owned())
    }
}

impl std::str::FromStr for ClusterName {
    type Err = &'static str;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = |byte: u8| plain(byte) || byte == b'-';
        let bytes = raw.as_bytes();
        match (bytes.first(), bytes.last()) {
            (Some(&first), Some(&last)) if bytes.len() <= 40 && plain(first) && plain(last) => {
                if bytes.iter().all(|&byte| inner(byte)) {
                    Ok(Self(raw.to_owned()))
                } else {
                    Err(NAME_RULE)
                }
            }
            _ => Err(NAME_RULE),
        }
    }
}

/// Takes the lock; says so where that may take a while, as during an `up` that builds.
fn wait_for_lock(file: &File) -> std::io::Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let why = "Another `floe` command is at work on the clusters of this host; waiting for its end.";
            Progress::new().line(why);
            Ok(flock(file, FlockOperation::LockExclusive)?)
        }
        taken => Ok(taken?),
    }
}

const NAME_RULE: &str =
    "a cluster's name is 1 to 40 lower-case letters, digits and dashes, with no dash at its ends";

/// What `up` decided and later commands need; all else is found by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The network of the cluster's bridge.
    pub(crate) subnet: Subnet,
    /// Its nodes by number.
    #[serde(default = "only_first")]
    pub(crate) nodes: BTreeSet<u8>,
    /// Those of them that have the control plane.
    #[serde(default = "only_first")]
    pub(crate) servers: BTreeSet<u8>,
    /// The name of this host, where it is itself the cluster's only node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_host: Option<String>,
}

/// Number of the first node, which founds the cluster.
pub(crate) const FIRST: u8 = 1;
/// The highest number of a node: each has an address of its own in the cluster's /24.
const LAST: u8 = 250;

fn only_first() -> BTreeSet<u8> {
    BTreeSet::from([FIRST])
}

impl Record {
    /// The lowest number that no node has.
    pub(crate) fn free_number(&self) -> anyhow::Result<u8> {
        (FIRST..=LAST)
            .find(|number| !self.nodes.contains(number))
            .with_context(|| format!("the cluster has {} nodes, the most it can have", self.nodes.len()))
    }
}

/// A cluster by name, running or not.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    name: ClusterName,
    dir: PathBuf,
}

impl Cluster {
    pub(crate) fn new(name: ClusterName) -> Self {
        let dir = Path::new(CLUSTERS).join(name.as_str());
        Self { name, dir }
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn bridge(&self) -> Bridge {
        Bridge::of_cluster(self.name())
    }

    /// The cluster's nodes, running or not, the one with the control plane first: those of the record, and
    /// what else lies in its folder, so that `down` finds all even where the record is damaged.
    pub(crate) fn nodes(&self) -> Vec<Place> {
        let record = self.record().ok().flatten();
        let host = record.as_ref().and_then(|record| record.on_host.clone());
        let host = host.or_else(|| is_on_host(self.name()).then(|| "this host".to_owned()));
        let on_host = host.map(|name| Place::Host {
            name,
            cluster: self.name().to_owned(),
        });
        let recorded = match (record, &on_host) {
            (_, Some(_)) => BTreeSet::new(),
            (record, None) => record.map_or_else(only_first, |record| record.nodes),
        };
        let numbers: BTreeSet<u8> = recorded.into_iter().chain(self.numbers_on_disk()).collect();
        let machines = numbers.into_iter().map(|number| self.numbered(number));
        on_host.into_iter().chain(machines.map(Place::Machine)).collect()
    }

    fn numbers_on_disk(&self) -> Vec<u8> {
        let entries = std::fs::read_dir(self.dir.join("nodes")).into_iter().flatten();
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| self.number_of(&name)).collect()
    }

    /// The machine of the node with `number`.
    pub(crate) fn numbered(&self, number: u8) -> Machine {
        let name = format!("{}-{number}", self.name());
        Machine::new(&name, &self.dir.join("nodes").join(&name))
    }

    /// The number in the name of a node of this cluster.
    pub(crate) fn number_of(&self, node: &str) -> Option<u8> {
        let number = node.strip_prefix(self.name())?.strip_prefix('-')?.parse().ok()?;
        // `01` and `1` are one number and two names.
        (self.numbered(number).name() == node).then_some(number)
    }

    /// The nodes that have the control plane, running or not.
    pub(crate) fn servers(&self) -> Vec<Place> {
        let servers = self.record().ok().flatten().map(|record| record.servers);
        let has_it = |place: &Place| match place {
            Place::Host { .. } => true,
            Place::Machine(machine) => match (&servers, self.number_of(machine.name())) {
                (Some(servers), Some(number)) => servers.contains(&number),
                _ => machine.name() == self.numbered(FIRST).name(),
            },
        };
        self.nodes().into_iter().filter(has_it).collect()
    }

    /// A node with the control plane, one that runs where there is one.
    pub(crate) fn first(&self) -> Place {
        let servers = self.servers();
        let running = servers.iter().find(|place| place.is_running());
        let first = running.or(servers.first()).cloned();
        first.unwrap_or_else(|| Place::Machine(self.numbered(FIRST)))
    }

    /// The node called `node`.
    pub(crate) fn node(&self, node: &str) -> anyhow::Result<Place> {
        let nodes = self.nodes();
        let names: Vec<_> = nodes.iter().map(|place| place.name().to_owned()).collect();
        match nodes.into_iter().find(|place| place.name() == node) {
            Some(place) => Ok(place),
            None => bail!(
                "cluster {} has no node {node}; its nodes are {}",
                self.name(),
                names.join(", ")
            ),
        }
    }

    /// Where the control plane of `server` leaves the administrator's kubeconfig, as a path on this host.
    pub(crate) fn admin_kubeconfig(server: &Place) -> PathBuf {
        server.state().join("controlplane/kubeconfig/admin.kubeconfig")
    }

    /// Whether anything of it is on this host, running or not.
    pub(crate) fn is_there(&self) -> bool {
        self.dir.exists() || self.is_running() || self.bridge().exists()
    }

    /// Whether any of its nodes runs.
    pub(crate) fn is_running(&self) -> bool {
        self.nodes().iter().any(Place::is_running)
    }

    /// An error for commands that need the cluster to run.
    pub(crate) fn require_running(&self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        bail!(
            "cluster {} is not running; start it with `floe up --name {}`, or name another cluster's kubeconfig with \
             --kubeconfig",
            self.name(),
            self.name()
        )
    }

    fn record_path(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }

    /// What `up` decided, where it has.
    pub(crate) fn record(&self) -> anyhow::Result<Option<Record>> {
        let path = self.record_path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is damaged; `floe down` removes it", path.display())),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes down `record`, by rename.
    pub(crate) fn save(&self, record: &Record) -> anyhow::Result<()> {
        let path = self.record_path();
        let partial = path.with_extension("partial");
        std::fs::write(&partial, serde_json::to_vec_pretty(record)?)
            .and_then(|()| File::open(&partial)?.sync_all())
            .and_then(|()| std::fs::rename(&partial, &path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Takes the lock of every cluster on this host, which `up` and `down` hold: they share subnets.
    pub(crate) fn lock() -> anyhow::Result<File> {
        loop {
            std::fs::create_dir_all(CLUSTERS).with_context(|| format!("create {CLUSTERS}"))?;
            let file = File::open(CLUSTERS).with_context(|| format!("open {CLUSTERS}"))?;
            wait_for_lock(&file).with_context(|| format!("lock {CLUSTERS}"))?;
            // The last cluster takes the folder along, maybe while others wait for the lock on it.
            let (held, there) = (
                file.metadata()?.ino(),
                std::fs::metadata(CLUSTERS).map(|found| found.ino()),
            );
            if there.is_ok_and(|there| there == held) {
                return Ok(file);
            }
        }
    }

    /// Removes the folders that clusters share, where none is left; the lock must be held.
    pub(crate) fn remove_shared_folders() {
        let shared = [Path::new(CLUSTERS), Path::new("/var/lib/floe")];
        // One that is not empty stays, and with it those above.
        let _emptied = shared.iter().all(|folder| std::fs::remove_dir(folder).is_ok());
    }

    /// The token with which nodes join, made once; only root can read it.
    pub(crate) fn bootstrap_token(&self) -> anyhow::Result<String> {
        let path = self.dir.join("bootstrap-token");
        match std::fs::read_to_string(&path) {
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
            read => return read.with_context(|| format!("read {}", path.display())),
        }
        let token = token::generate()?;
        let partial = path.with_extension("partial");
        let write = || -> std::io::Result<()> {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&partial)?;
            writeln!(file, "{token}")?;
            std::fs::rename(&partial, &path)
        };
        write().with_context(|| format!("write {}", path.display()))?;
        Ok(format!("{token}\n"))
    }

    /// The subnets of every cluster on this host.
    pub(crate) fn subnets_in_use() -> anyhow::Result<Vec<Subnet>> {
        let entries = std::fs::read_dir(CLUSTERS).with_context(|| format!("list {CLUSTERS}"))?;
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let records = names.map(|name| Self::new(name).record());
        records
            .filter_map(|record| record.map(|known| known.map(|record| record.subnet)).transpose())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_belongs_to_the_cluster_whose_name_it_bears() {
        let cluster = Cluster::new("ci".parse().unwrap());
        assert_eq!(cluster.number_of("ci-3"), Some(3));
        for strange in ["ci-03", "ci", "ci-", "ci-x", "ci-2-1", "other-1", "ci-256"] {
            assert_eq!(cluster.number_of(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_record_without_nodes_is_of_a_cluster_with_one() {
        let record: Record = serde_json::from_str(r#"{"subnet": 3}"#).unwrap();
        assert_eq!((&record.nodes, &record.servers), (&only_first(), &only_first()));
        assert_eq!(record.free_number().unwrap(), 2);
    }

    #[test]
    fn a_cluster_name_is_always_a_dns_label() {
        for good in ["floe", "a", "ci-42", "0"] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "../x", &"x".repeat(41)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
    }
}
