//! The private bridge that a cluster's machines hang on.

use std::net::Ipv4Addr;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::{MachineError, run, succeeds};

/// A /24 of 10.88.0.0/16; the host is `.1`, machines follow from `.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Subnet(u8);

impl Subnet {
    /// Length of the network's prefix, in bits.
    pub const PREFIX: u8 = 24;

    /// The host's address on the bridge.
    #[must_use]
    pub fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 88, self.0, 1)
    }

    /// The address of the machine with this `index`, counted from 0.
    #[must_use]
    pub fn machine(self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 88, self.0, index.saturating_add(2))
    }

    /// The subnet in CIDR form, such as `10.88.3.0/24`.
    #[must_use]
    pub fn cidr(self) -> String {
        format!("10.88.{}.0/{}", self.0, Self::PREFIX)
    }
}

/// The first subnet that is neither in `taken` nor routed by this host.
///
/// # Errors
///
/// When `ip` cannot list the routes, and when all are in use.
pub fn free_subnet(taken: &[Subnet]) -> Result<Subnet, MachineError> {
    let routes = run(Command::new("ip").args(["-4", "route", "show", "table", "all"]))?;
    (1..=254)
        .map(Subnet)
        .find(|subnet| !taken.contains(subnet) && !routes.contains(&format!("10.88.{}.", subnet.0)))
        .ok_or(MachineError::NoSubnet)
}

/// A Linux bridge on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    name: String,
}

impl Bridge {
    /// What the names of all bridges begin with.
    pub(crate) const PREFIX: &str = "flb-";

    /// The bridge of the cluster `cluster`; a name that does not fit in 15 bytes is hashed.
    #[must_use]
    pub fn of_cluster(cluster: &str) -> Self {
        let plain = format!("{}{cluster}", Self::PREFIX);
        if plain.len() <= 15 {
            return Self { name: plain };
        }
        let digest = Sha256::digest(cluster.as_bytes());
        let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        Self {
            name: format!("{}{hash}", Self::PREFIX),
        }
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the link is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        std::path::Path::new("/sys/class/net").join(&self.name).exists()
    }

    /// Makes the bridge with the host's address in `subnet`; repeating it is harmless.
    ///
    /// # Errors
    ///
    /// Passes on what `ip` refused.
    pub fn create(&self, subnet: Subnet) -> Result<(), MachineError> {
        if !self.exists() {
            run(Command::new("ip").args(["link", "add", "name", &self.name, "type", "bridge"]))?;
        }
        let address = format!("{}/{}", subnet.host(), Subnet::PREFIX);
        run(Command::new("ip").args(["address", "replace", &address, "dev", &self.name]))?;
        run(Command::new("ip").args(["link", "set", "dev", &self.name, "up"]))?;
        Ok(())
    }

    /// Removes the bridge; does nothing where it is absent.
    ///
    /// # Errors
    ///
    /// Passes on what `ip` refused.
    pub fn remove(&self) -> Result<(), MachineError> {
        let deleted = run(Command::new("ip").args(["link", "delete", "dev", &self.name]));
        match deleted {
            Err(_) if !self.exists() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Routes `destination` (in CIDR form) through the machine at `via`, so that this host reaches it.
    #[must_use]
    pub fn route(&self, destination: &str, via: Ipv4Addr) -> bool {
        let via = via.to_string();
        succeeds(Command::new("ip").args(["route", "replace", destination, "via", &via, "dev", &self.name]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cluster_name_gives_a_link_name_the_kernel_takes() {
        for cluster in ["floe", "a", "a-very-long-cluster-name-indeed", &"x".repeat(60)] {
            assert!(Bridge::of_cluster(cluster).name().len() <= 15, "{cluster}");
        }
        assert_ne!(
            Bridge::of_cluster(&"x".repeat(60)),
            Bridge::of_cluster(&"x".repeat(61))
        );
    }

    #[test]
    fn machines_follow_the_host_in_the_subnet() {
        let subnet = Subnet(7);
        assert_eq!(subnet.host().to_string(), "10.88.7.1");
        assert_eq!(subnet.machine(0).to_string(), "10.88.7.2");
        assert_eq!(subnet.cidr(), "10.88.7.0/24");
    }
}
