//! What the server has to know.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// Settings of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster's DNS address. It is given to `lo`, so that every node answers there itself.
    pub address: IpAddr,
    /// The cluster's domain, such as `cluster.local`.
    pub domain: String,
    /// Ranges of the cluster's own addresses (pods and services): their reverse names are never
    /// asked of an upstream.
    pub ranges: Vec<IpNet>,
    /// Where the zone is kept for the next start of the agent.
    pub snapshot: PathBuf,
}
