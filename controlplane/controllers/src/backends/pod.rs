//! A pod as far as Services care.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::meta;
use crate::replicaset::pods;

/// A port that a container names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedPort {
    name: String,
    protocol: String,
    number: i32,
}

/// A pod as far as Services care; two readings are equal where no Service sees a difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) node: Option<String>,
    /// In the pod's order, the preferred family first.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ready: bool,
    pub(crate) terminating: bool,
    /// It has ended for good.
    pub(crate) ended: bool,
    pub(super) hostname: String,
    pub(super) subdomain: String,
    pub(super) ports: Vec<NamedPort>,
}

impl Backend {
    /// Reads a pod.
    pub(crate) fn read(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        Self {
            namespace: meta::namespace(&pod.metadata).to_owned(),
            name: meta::name(&pod.metadata).to_owned(),
            uid: meta::uid(&pod.metadata).to_owned(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            node: spec
                .and_then(|spec| spec.node_name.clone())
                .filter(|name| !name.is_empty()),
            addresses: addresses(pod),
            ready: pods::ready(pod).is_some(),
            terminating: meta::is_deleting(&pod.metadata),
            ended: pods::is_finished(pod),
            hostname: text(spec.and_then(|spec| spec.hostname.as_ref())),
            subdomain: text(spec.and_then(|spec| spec.subdomain.as_ref())),
            ports: named_ports(pod),
        }
    }

    /// The number of the port that a Service's port leads to, if this pod has it.
    pub(crate) fn port(&self, wanted: &ServicePort) -> Option<i32> {
        match &wanted.target_port {
            None => Some(wanted.port),
            Some(IntOrString::Int(0)) => Some(wanted.port),
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(name)) => {
                let protocol = wanted.protocol.as_deref().unwrap_or("TCP");
                let found = self
                    .ports
                    .iter()
                    .find(|port| port.name == *name && port.protocol == protocol);
                found.map(|port| port.number)
            }
        }
    }

    /// The name by which DNS knows this pod within `service`.
    pub(crate) fn hostname_in(&self, service: &Service) -> Option<String> {
        let named = !self.hostname.is_empty()
            && self.subdomain == meta::name(&service.metadata)
            && self.namespace == meta::namespace(&service.metadata);
        named.then(|| self.hostname.clone())
    }

    /// How endpoints refer to this pod.
    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let all: Vec<IpAddr> = status
        .pod_ips
        .iter()
        .flatten()
        .filter_map(|address| address.ip.parse().ok())
        .collect();
    if all.is_empty() {
        let one = status.pod_ip.iter();
        return one.filter_map(|address| address.parse().ok()).collect();
    }
    all
}

/// The named ports of containers and of sidecars.
fn named_ports(pod: &Pod) -> Vec<NamedPort> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            Some(NamedPort {
                name: port.name.clone()?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                number: port.container_port,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn backend(spec: Value, status: Value) -> Backend {
        let pod =
            json!({ "metadata": { "name": "a", "namespace": "default" }, "spec": spec, "status": status });
        Backend::read(&serde_json::from_value(pod).unwrap())
    }

    fn port(value: Value) -> ServicePort {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_named_port_is_looked_up_by_name_and_protocol() {
        let container = json!({ "name": "c", "ports": [
            { "name": "dns", "protocol": "UDP", "containerPort": 5353 },
            { "name": "dns", "protocol": "TCP", "containerPort": 5354 },
        ] });
        let found = backend(json!({ "containers": [container] }), json!({}));
        let tcp = port(json!({ "port": 53, "targetPort": "dns", "protocol": "TCP" }));
        assert_eq!(found.port(&tcp), Some(5354));
        let other = port(json!({ "port": 53, "targetPort": "web", "protocol": "TCP" }));
        assert_eq!(found.port(&other), None);
        assert_eq!(found.port(&port(json!({ "port": 53 }))), Some(53));
    }

    #[test]
    fn a_sidecar_serves_and_an_ordinary_init_container_does_not() {
        let init = |name: &str, policy: Value| json!({ "name": name, "restartPolicy": policy, "ports": [{ "name": name, "containerPort": 9 }] });
        let found = backend(
            json!({ "containers": [], "initContainers": [init("proxy", json!("Always")), init("setup", Value::Null)] }),
            json!({}),
        );
        let wanted = |name: &str| port(json!({ "port": 1, "targetPort": name }));
        assert_eq!(found.port(&wanted("proxy")), Some(9));
        assert_eq!(found.port(&wanted("setup")), None);
    }

    #[test]
    fn the_hostname_counts_only_in_the_service_that_is_the_subdomain() {
        let found = backend(
            json!({ "containers": [], "hostname": "db-0", "subdomain": "db" }),
            json!({}),
        );
        let service = |name: &str| -> Service {
            serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "default" } })).unwrap()
        };
        assert_eq!(found.hostname_in(&service("db")).as_deref(), Some("db-0"));
        assert_eq!(found.hostname_in(&service("web")), None);
    }
}
