//! EndpointSlices, as far as they concern the proxy.

use std::net::IpAddr;

use cni_plugins_nft::Protocol;
use k8s_openapi::api::discovery::v1::{Endpoint as EndpointObject, EndpointConditions, EndpointSlice};

use crate::service::{ObjectName, number, object_name, protocol};

/// The label that names a slice's service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Whether an endpoint takes traffic (KEP-1669).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It ends, and takes traffic as long as nothing else does.
    ServingTerminating,
}

/// Where a service leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub addr: IpAddr,
    /// Whether it takes traffic.
    pub readiness: Readiness,
    /// The node it is on, where that is known.
    pub node: Option<String>,
}

/// A part of the endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its name.
    pub name: ObjectName,
    /// Its service.
    pub service: ObjectName,
    /// Names, protocols and numbers of the ports of each endpoint.
    pub ports: Vec<(String, Protocol, u16)>,
    /// Endpoints that take traffic.
    pub endpoints: Vec<Endpoint>,
}

impl Slice {
    /// Reads an object; `None` where it belongs to no service or holds host names.
    #[must_use]
    pub fn read(object: &EndpointSlice) -> Option<Self> {
        let name = object_name(&object.metadata)?;
        let service = object.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
        if object.address_type == "FQDN" {
            return None;
        }
        let ports = object.ports.iter().flatten().filter_map(|port| {
            Some((
                port.name.clone().unwrap_or_default(),
                protocol(port.protocol.as_deref())?,
                number(port.port?)?,
            ))
        });
        Some(Self {
            service: ObjectName {
                namespace: name.namespace.clone(),
                name: service.clone(),
            },
            name,
            ports: ports.collect(),
            endpoints: object
                .endpoints
                .iter()
                .flatten()
                .filter_map(read_endpoint)
                .collect(),
        })
    }
}

fn read_endpoint(endpoint: &EndpointObject) -> Option<Endpoint> {
    Some(Endpoint {
        // All addresses of one endpoint are the same place; consumers take the first.
        addr: endpoint.addresses.first()?.parse().ok()?,
        readiness: readiness(endpoint.conditions.as_ref())?,
        node: endpoint.node_name.clone(),
    })
}

/// What is not said counts as ready, serving as ready is, and not terminating.
fn readiness(conditions: Option<&EndpointConditions>) -> Option<Readiness> {
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    if ready {
        Some(Readiness::Ready)
    } else if serving && terminating {
        Some(Readiness::ServingTerminating)
    } else {
        None
    }
}
