//! Services, as far as they concern the proxy.

use std::fmt;
use std::net::IpAddr;

use cni_plugins_nft::Protocol;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service as Object, ServicePort, ServiceSpec};

/// Services that another proxy handles carry it.
pub const FOREIGN_PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Services and slices that no proxy handles carry it.
pub const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// The default of `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_SECONDS: u32 = 10_800;

/// Namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The name in it.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which endpoints traffic may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrafficPolicy {
    /// Those of every node.
    #[default]
    Cluster,
    /// Those of this node.
    Local,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name, by which slices tell where it leads; empty for an only port.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port on the service's addresses.
    pub port: u16,
    /// The port on every node.
    pub node_port: Option<u16>,
}

/// A service that has addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ObjectName,
    /// Its addresses within the cluster.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses of a load balancer that leaves the destination as it is.
    pub balancer_ips: Vec<IpAddr>,
    /// Who may use the load balancer's addresses; empty for everybody.
    pub balancer_sources: Vec<IpNet>,
    /// Which endpoints its cluster addresses reach.
    pub internal: TrafficPolicy,
    /// Which endpoints are reached from outside of the cluster.
    pub external: TrafficPolicy,
    /// For how many seconds a client stays with its endpoint.
    pub affinity: Option<u32>,
    /// Its ports.
    pub ports: Vec<Port>,
}

impl Service {
    /// Reads an object; `None` where it has nothing to be proxied: headless, `ExternalName`, or
    /// another proxy's. Parts that the API server would refuse are left out.
    ///
    /// `externalIPs` are not read: any user who may write Services could take over traffic to any
    /// address with them (CVE-2020-8554).
    #[must_use]
    pub fn read(object: &Object) -> Option<Self> {
        let labels = object.metadata.labels.as_ref();
        let excluded = |label| labels.is_some_and(|labels| labels.contains_key(label));
        let spec = object.spec.as_ref()?;
        if excluded(FOREIGN_PROXY_LABEL) || excluded(HEADLESS_LABEL) || is_type(spec, "ExternalName") {
            return None;
        }
        let cluster_ips = cluster_ips(spec);
        if cluster_ips.is_empty() {
            return None;
        }
        let open = is_type(spec, "NodePort") || is_type(spec, "LoadBalancer");
        Some(Self {
            name: object_name(&object.metadata)?,
            cluster_ips,
            balancer_ips: if is_type(spec, "LoadBalancer") {
                balancer_ips(object)
            } else {
                Vec::new()
            },
            balancer_sources: sources(spec),
            internal: policy(spec.internal_traffic_policy.as_deref()),
            external: policy(spec.external_traffic_policy.as_deref()),
            affinity: affinity(spec),
            ports: spec
                .ports
                .iter()
                .flatten()
                .filter_map(|port| read_port(port, open))
                .collect(),
        })
    }
}

/// Namespace and name of an object that has both.
pub(crate) fn object_name(
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Option<ObjectName> {
    Some(ObjectName {
        namespace: metadata.namespace.clone()?,
        name: metadata.name.clone()?,
    })
}

fn is_type(spec: &ServiceSpec, wanted: &str) -> bool {
    spec.type_.as_deref() == Some(wanted)
}

fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    let all = spec.cluster_ips.iter().flatten();
    let mut found: Vec<IpAddr> = all.filter_map(|ip| ip.parse().ok()).collect();
    if found.is_empty() {
        found.extend(spec.cluster_ip.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
    }
    found
}

/// Addresses of the status; those of mode `Proxy` are meant to be reached through the balancer.
fn balancer_ips(object: &Object) -> Vec<IpAddr> {
    let status = object
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_ref());
    ingress
        .into_iter()
        .flatten()
        .filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|ingress| ingress.ip.as_ref()?.parse().ok())
        .collect()
}

fn sources(spec: &ServiceSpec) -> Vec<IpNet> {
    let ranges = spec.load_balancer_source_ranges.iter().flatten();
    let ranges: Vec<IpNet> = ranges.filter_map(|range| range.trim().parse().ok()).collect();
    // In one order, since chains are named after them.
    IpNet::aggregate(&ranges)
}

fn policy(text: Option<&str>) -> TrafficPolicy {
    match text {
        Some("Local") => TrafficPolicy::Local,
        _ => TrafficPolicy::Cluster,
    }
}

fn affinity(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref();
    let seconds = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    Some(
        seconds
            .and_then(|s| u32::try_from(s).ok())
            .unwrap_or(AFFINITY_SECONDS),
    )
}

fn read_port(port: &ServicePort, open: bool) -> Option<Port> {
    let node_port = port.node_port.filter(|_| open);
    Some(Port {
        name: port.name.clone().unwrap_or_default(),
        protocol: protocol(port.protocol.as_deref())?,
        port: number(port.port)?,
        node_port: node_port.and_then(number),
    })
}

/// The protocol of that name; TCP where there is none.
pub(crate) fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

/// A port's number; 0 is none.
pub(crate) fn number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}
