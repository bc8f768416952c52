//! A cluster on this host: its name, its folders, and the record of what `up` decided.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use controlplane_machine::{Bridge, Machine, Subnet};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

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

const NAME_RULE: &str =
    "a cluster's name is 1 to 40 lower-case letters, digits and dashes, with no dash at its ends";

/// What `up` decided and later commands need; all else is found by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The network of the cluster's bridge.
    pub(crate) subnet: Subnet,
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

    /// The cluster's machines, running or not.
    pub(crate) fn machines(&self) -> Vec<Machine> {
        vec![self.first_machine()]
    }

    /// The machine that runs the control plane.
    pub(crate) fn first_machine(&self) -> Machine {
        let name = format!("{}-1", self.name());
        Machine::new(&name, &self.dir.join("nodes").join(&name))
    }

    /// The machine called `node`.
    pub(crate) fn machine(&self, node: &str) -> anyhow::Result<Machine> {
        let machines = self.machines();
        let names: Vec<_> = machines.iter().map(|machine| machine.name().to_owned()).collect();
        match machines.into_iter().find(|machine| machine.name() == node) {
            Some(machine) => Ok(machine),
            None => bail!(
                "cluster {} has no node {node}; its nodes are {}",
                self.name(),
                names.join(", ")
            ),
        }
    }

    /// Where the control plane leaves the administrator's kubeconfig, as a path on this host.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.first_machine()
            .state()
            .join("controlplane/kubeconfig/admin.kubeconfig")
    }

    /// Whether any of its machines runs.
    pub(crate) fn is_running(&self) -> bool {
        self.machines().iter().any(|machine| machine.leader().is_some())
    }

    /// An error for commands that need the cluster to run.
    pub(crate) fn require_running(&self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        bail!(
            "cluster {} is not running; start it with `floe up --name {}`",
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
            .and_then(|()| std::fs::rename(&partial, &path))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Takes the lock of every cluster on this host, which `up` and `down` hold: they share subnets.
    pub(crate) fn lock() -> anyhow::Result<File> {
        std::fs::create_dir_all(CLUSTERS).with_context(|| format!("create {CLUSTERS}"))?;
        let file = File::open(CLUSTERS).with_context(|| format!("open {CLUSTERS}"))?;
        flock(&file, FlockOperation::LockExclusive).with_context(|| format!("lock {CLUSTERS}"))?;
        Ok(file)
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
    fn a_cluster_name_is_always_a_dns_label() {
        for good in ["floe", "a", "ci-42", "0"] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "../x", &"x".repeat(41)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
    }
}
