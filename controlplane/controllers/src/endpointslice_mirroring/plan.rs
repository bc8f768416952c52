//! What is mirrored, and as what. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions};

use crate::endpointslice::{Frame, Group, MANAGED_BY, Port, PortSet, SERVICE_NAME, family};
use crate::meta;

/// What [`MANAGED_BY`] says of this controller's slices.
pub(super) const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Label of Endpoints that are not to be mirrored.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotation of Endpoints that are a lock and no endpoints at all.
const LOCK: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that say something of the Endpoints object alone.
const OWN_ANNOTATIONS: [&str; 2] = [
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
];
/// Addresses of one subset mirrored at most, as upstream.
const CAPACITY: usize = 1000;

/// Whether `endpoints` are to be mirrored, for a Service of the same name.
pub(super) fn is_wanted(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    let skipped = labels.and_then(|labels| labels.get(SKIP)).map(String::as_str) == Some("true");
    let spec = service.and_then(|service| service.spec.as_ref());
    let selects = |spec: &k8s_openapi::api::core::v1::ServiceSpec| {
        spec.selector
            .as_ref()
            .is_some_and(|selector| !selector.is_empty())
    };
    !skipped
        && meta::annotation(&endpoints.metadata, LOCK).is_none()
        && spec.is_some_and(|spec| !selects(spec) && spec.type_.as_deref() != Some("ExternalName"))
}

/// What all slices of `endpoints` share.
pub(super) fn frame(endpoints: &Endpoints) -> Frame {
    let name = meta::name(&endpoints.metadata);
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !OWN_ANNOTATIONS.contains(&key.as_str()));
    Frame {
        namespace: meta::namespace(&endpoints.metadata).to_owned(),
        name: name.to_owned(),
        owner: meta::controller_reference(endpoints),
        labels,
        annotations: (!annotations.is_empty()).then_some(annotations),
        placeholders: Vec::new(),
    }
}

/// The endpoints to have, by address type and ports.
pub(super) fn groups(endpoints: &Endpoints) -> Vec<Group> {
    let mut groups: BTreeMap<(String, PortSet), BTreeMap<String, Endpoint>> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let waiting = subset.not_ready_addresses.iter().flatten();
        let all = ready.chain(waiting.map(|address| (address, false)));
        for (address, ready) in all.take(CAPACITY) {
            let Ok(parsed) = address.ip.parse::<IpAddr>() else {
                continue;
            };
            let group = groups
                .entry((family(&parsed).to_owned(), ports(subset)))
                .or_default();
            // Two states of one address: the ready one, which comes first, counts.
            group
                .entry(address.ip.clone())
                .or_insert_with(|| endpoint(address, ready));
        }
    }
    let groups = groups.into_iter();
    groups
        .map(|((family, ports), endpoints)| Group {
            family,
            ports,
            endpoints: endpoints.into_values().collect(),
        })
        .collect()
}

fn ports(subset: &EndpointSubset) -> PortSet {
    let ports = subset.ports.iter().flatten();
    ports
        .map(|port| Port {
            name: Some(port.name.clone().unwrap_or_default()),
            number: Some(port.port),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
        .collect()
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoints() -> Endpoints {
        serde_json::from_value(json!({
            "metadata": { "name": "db", "namespace": "default", "uid": "e", "labels": { "tier": "back" } },
            "subsets": [{
                "addresses": [{ "ip": "192.0.2.1" }, { "ip": "2001:db8::1" }],
                "notReadyAddresses": [{ "ip": "192.0.2.1" }, { "ip": "192.0.2.2" }],
                "ports": [{ "name": "sql", "port": 5432 }],
            }],
        }))
        .unwrap()
    }

    fn service(selector: serde_json::Value) -> Service {
        serde_json::from_value(json!({ "metadata": { "name": "db" }, "spec": { "selector": selector } }))
            .unwrap()
    }

    #[test]
    fn each_family_is_a_group_and_an_address_counts_once() {
        let groups = groups(&endpoints());
        let shape: Vec<(&str, usize)> = groups
            .iter()
            .map(|group| (group.family.as_str(), group.endpoints.len()))
            .collect();
        assert_eq!(shape, [("IPv4", 2), ("IPv6", 1)]);
        let first = groups[0].endpoints[0].conditions.clone().unwrap();
        assert_eq!(first.ready, Some(true));
    }

    #[test]
    fn only_endpoints_of_services_without_selectors_are_mirrored() {
        let plain = service(json!(null));
        let selecting = service(json!({ "app": "db" }));
        assert!(is_wanted(&endpoints(), Some(&plain)));
        assert!(!is_wanted(&endpoints(), Some(&selecting)));
        assert!(!is_wanted(&endpoints(), None));
        let mut skipped = endpoints();
        skipped.metadata.labels = Some([(SKIP.to_owned(), "true".to_owned())].into());
        assert!(!is_wanted(&skipped, Some(&plain)));
        let mut lock = endpoints();
        lock.metadata.annotations = Some([(LOCK.to_owned(), String::new())].into());
        assert!(!is_wanted(&lock, Some(&plain)));
    }

    #[test]
    fn slices_belong_to_the_endpoints_and_leave_out_its_own_annotations() {
        let mut endpoints = endpoints();
        let annotations = [(OWN_ANNOTATIONS[1], "{}"), ("team", "db")];
        endpoints.metadata.annotations = Some(
            annotations
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        );
        let frame = frame(&endpoints);
        assert_eq!(frame.owner.kind, "Endpoints");
        let kept = frame.annotations.unwrap();
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["team"]);
    }
}
