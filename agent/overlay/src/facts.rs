//! What the overlay needs to know of a node.

use std::net::Ipv4Addr;

use cni_plugins_netlink::Site;
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use serde::{Deserialize, Serialize};

use crate::goal::Reason;

/// What a Node object says of a node's place in the network; as text, since it may say anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeFacts {
    /// When the object was made, in a form that sorts: the older node keeps what two claim.
    pub since: String,
    /// The first network of IPv4 that was given to its pods.
    #[serde(default)]
    pub subnet: Option<String>,
    /// Its first internal address of IPv4.
    #[serde(default)]
    pub address: Option<String>,
}

impl From<&Node> for NodeFacts {
    fn from(node: &Node) -> Self {
        let spec = node.spec.clone().unwrap_or_default();
        let subnets = spec.pod_cidrs.into_iter().flatten().chain(spec.pod_cidr);
        let addresses = node
            .status
            .iter()
            .flat_map(|status| status.addresses.iter().flatten());
        let internal = addresses.filter(|address| address.type_ == "InternalIP");
        let is_v4 = |text: &String| !text.contains(':');
        Self {
            since: node
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0.to_string())
                .unwrap_or_default(),
            subnet: subnets.into_iter().find(is_v4),
            address: internal.map(|address| address.address.clone()).find(is_v4),
        }
    }
}

impl NodeFacts {
    /// The network of the node's pods.
    ///
    /// # Errors
    ///
    /// Tells why there is none.
    pub fn subnet(&self) -> Result<Ipv4Net, Reason> {
        let text = self.subnet.as_ref().ok_or(Reason::NoSubnet)?;
        let malformed = || Reason::Malformed(text.clone());
        let subnet: Ipv4Net = text.parse().map_err(|_| malformed())?;
        let usable = subnet == subnet.trunc() && (8..=30).contains(&subnet.prefix_len());
        usable.then_some(subnet).ok_or_else(malformed)
    }

    /// The node's place in the overlay.
    ///
    /// # Errors
    ///
    /// Tells what is missing or wrong.
    pub fn site(&self) -> Result<Site, Reason> {
        let subnet = self.subnet()?;
        let text = self.address.as_ref().ok_or(Reason::NoAddress)?;
        let node: Ipv4Addr = text.parse().map_err(|_| Reason::BadAddress(text.clone()))?;
        let usable =
            !(node.is_unspecified() || node.is_loopback() || node.is_multicast() || node.is_broadcast());
        if usable {
            Ok(Site { subnet, node })
        } else {
            Err(Reason::BadAddress(text.clone()))
        }
    }
}
