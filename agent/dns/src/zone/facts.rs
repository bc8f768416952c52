//! What the zone keeps of Services and EndpointSlices: only what answers are made of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use serde::{Deserialize, Serialize};

/// The label of an `EndpointSlice` that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// How a Service is reached by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// By these addresses; none where they are not allocated yet.
    Addresses(Vec<IpAddr>),
    /// By its endpoints' addresses (`clusterIP: None`).
    Headless,
    /// By another name.
    External(String),
}

/// A port with a number, a protocol in lower case, and a name unless it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name; empty where it has none.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Its number.
    pub number: u16,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub reach: Reach,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Whether endpoints that are not ready are published too.
    pub publish_not_ready: bool,
}

/// An endpoint of an `EndpointSlice`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointFacts {
    /// Its addresses, interchangeable.
    pub addresses: Vec<IpAddr>,
    /// Its host name, where it has one.
    pub hostname: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
}

/// An `EndpointSlice` of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its own name.
    pub name: String,
    /// The name of its Service.
    pub service: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointFacts>,
    /// The ports of all of them.
    pub ports: Vec<Port>,
}

impl ServiceFacts {
    /// What the zone keeps of `service`; `None` for an object without a name.
    #[must_use]
    pub fn of(service: &Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let ports = spec.ports.iter().flatten().filter_map(|port| {
            Some(Port {
                name: lower(port.name.as_deref()),
                protocol: lower(Some(port.protocol.as_deref().unwrap_or("TCP"))),
                number: u16::try_from(port.port).ok()?,
            })
        });
        let mut cluster_ips: Vec<&str> = spec.cluster_ips.iter().flatten().map(String::as_str).collect();
        if cluster_ips.is_empty() {
            cluster_ips.extend(spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty()));
        }
        let reach = if spec.type_.as_deref() == Some("ExternalName") {
            Reach::External(spec.external_name.clone().unwrap_or_default())
        } else if cluster_ips.contains(&"None") {
            Reach::Headless
        } else {
            Reach::Addresses(cluster_ips.iter().filter_map(|ip| ip.parse().ok()).collect())
        };
        Some(Self {
            namespace: service.metadata.namespace.clone()?,
            name: service.metadata.name.clone()?,
            reach,
            ports: ports.collect(),
            publish_not_ready: spec.publish_not_ready_addresses == Some(true),
        })
    }
}

impl SliceFacts {
    /// What the zone keeps of `slice`; `None` where it belongs to no Service or holds no addresses.
    #[must_use]
    pub fn of(slice: &EndpointSlice) -> Option<Self> {
        if slice.address_type == "FQDN" {
            return None;
        }
        let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
        Some(Self {
            namespace: slice.metadata.namespace.clone()?,
            name: slice.metadata.name.clone()?,
            service: service.clone(),
            endpoints: slice.endpoints.iter().flatten().map(EndpointFacts::of).collect(),
            ports: slice.ports.iter().flatten().filter_map(slice_port).collect(),
        })
    }
}

impl EndpointFacts {
    fn of(endpoint: &Endpoint) -> Self {
        let parsed: BTreeSet<IpAddr> = endpoint
            .addresses
            .iter()
            .filter_map(|ip| ip.parse().ok())
            .collect();
        // An unknown readiness counts as ready: discovery.k8s.io/v1, EndpointConditions.
        let ready = endpoint
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.ready);
        Self {
            addresses: parsed.into_iter().collect(),
            hostname: endpoint
                .hostname
                .as_deref()
                .filter(|name| !name.is_empty())
                .map(str::to_ascii_lowercase),
            ready: ready.unwrap_or(true),
        }
    }

    /// The label that names this endpoint's `address` below its Service: its host name, else the
    /// address with dashes (as `CoreDNS` forms it).
    #[must_use]
    pub fn label(&self, address: IpAddr) -> String {
        self.hostname.clone().unwrap_or_else(|| dashed(address))
    }
}

fn slice_port(port: &EndpointPort) -> Option<Port> {
    Some(Port {
        name: lower(port.name.as_deref()),
        protocol: lower(Some(port.protocol.as_deref().unwrap_or("TCP"))),
        number: u16::try_from(port.port?).ok()?,
    })
}

fn lower(text: Option<&str>) -> String {
    text.unwrap_or_default().to_ascii_lowercase()
}

/// An address as a label: `10-42-0-5`, `fd00--5`.
pub(super) fn dashed(address: IpAddr) -> String {
    let mut label = address.to_string().replace(['.', ':'], "-");
    if label.ends_with('-') {
        label.push('0');
    }
    if label.starts_with('-') {
        label.insert(0, '0');
    }
    label
}

/// The address that `label` stands for: the inverse of the dashed form.
pub(super) fn undashed(label: &str) -> Option<IpAddr> {
    let as_v4 = || label.replace('-', ".").parse().ok().map(IpAddr::V4);
    let as_v6 = || label.replace('-', ":").parse().ok().map(IpAddr::V6);
    as_v4().or_else(as_v6)
}
