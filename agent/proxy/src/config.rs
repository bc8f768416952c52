//! What the proxy is told about its node.

use std::net::IpAddr;

use ipnet::IpNet;

/// The node, as far as services concern it.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The node's name in the API.
    pub node_name: String,
    /// Addresses of the cluster's pods on all nodes. What comes from elsewhere is masqueraded.
    pub pod_ranges: Vec<IpNet>,
    /// Service addresses that the node itself answers, such as the cluster's DNS; left alone.
    pub node_local: Vec<IpAddr>,
}
