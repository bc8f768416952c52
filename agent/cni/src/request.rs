//! What the agent asks of the network for a pod.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

impl PodNet {
    /// `CNI_ARGS` as the kubelet gives them.
    pub(crate) fn args(&self) -> String {
        let pairs = [
            ("IgnoreUnknown", "1"),
            ("K8S_POD_NAMESPACE", &self.namespace),
            ("K8S_POD_NAME", &self.pod),
            ("K8S_POD_INFRA_CONTAINER_ID", &self.container_id),
            ("K8S_POD_UID", &self.uid),
        ];
        pairs.map(|(key, value)| format!("{key}={value}")).join(";")
    }

    /// Values of the capabilities that a plugin may declare.
    pub(crate) fn capability_values(&self) -> Map<String, Value> {
        let mut values = Map::new();
        if !self.port_mappings.is_empty() {
            values.insert("portMappings".to_owned(), json!(self.port_mappings));
        }
        if let Some(bandwidth) = &self.bandwidth {
            values.insert("bandwidth".to_owned(), json!(bandwidth));
        }
        values
    }
}
