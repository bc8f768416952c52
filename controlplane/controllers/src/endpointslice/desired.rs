//! The endpoints a Service should have. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointHints, ForNode, ForZone};

use super::plan::{Frame, Group, Port, PortSet};
use crate::backends::{Backend, Index, Place};
use crate::meta;

/// Label that names the Service of a slice.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that names the controller of a slice.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Label of slices and Endpoints of headless Services.
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
/// What [`MANAGED_BY`] says of this controller's slices.
pub(super) const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Whether this controller makes slices for a Service.
pub(super) fn is_ours(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        spec.type_.as_deref() != Some("ExternalName")
            && spec
                .selector
                .as_ref()
                .is_some_and(|selector| !selector.is_empty())
    })
}

/// Whether a Service has no address of its own.
pub(crate) fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
}

/// Whether a label is this controller's to set, and never copied from the Service.
fn is_reserved(label: &str) -> bool {
    matches!(label, SERVICE_NAME | MANAGED_BY | HEADLESS)
}

/// The address type of a slice that holds `address`.
pub(crate) fn family(address: &IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// What all slices of a Service share.
pub(super) fn frame(service: &Service) -> Frame {
    let name = meta::name(&service.metadata);
    let own = service.metadata.labels.iter().flatten();
    let mut labels: BTreeMap<String, String> = own
        .filter(|(key, _)| !is_reserved(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    labels.insert(SERVICE_NAME.to_owned(), name.to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if service.spec.as_ref().is_some_and(is_headless) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    Frame {
        namespace: meta::namespace(&service.metadata).to_owned(),
        name: name.to_owned(),
        owner: meta::controller_reference(service),
        labels,
        annotations: None,
        placeholders: families(service),
    }
}

/// The address types a Service has.
fn families(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref();
    let stated = spec.and_then(|spec| spec.ip_families.clone());
    stated
        .filter(|families| !families.is_empty())
        .unwrap_or_else(|| vec!["IPv4".to_owned()])
}

/// The endpoints of `service` by address type and ports, among the pods that it selects.
pub(super) fn groups(service: &Service, pods: &[Arc<Backend>], index: &Index) -> Vec<Group> {
    let mut groups: BTreeMap<(String, PortSet), Vec<Endpoint>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod.ended) {
        let place = index.place(pod);
        let publishes = service
            .spec
            .as_ref()
            .and_then(|spec| spec.publish_not_ready_addresses)
            == Some(true);
        // A pod on a node that has gone is not there any more, whatever its object says.
        if place == Place::Missing && !publishes {
            continue;
        }
        let ports = ports(service, pod);
        for family in families(service) {
            if let Some(endpoint) = endpoint(service, pod, &place, &family) {
                groups.entry((family, ports.clone())).or_default().push(endpoint);
            }
        }
    }
    let groups = groups.into_iter();
    groups
        .map(|((family, ports), endpoints)| Group {
            family,
            ports,
            endpoints,
        })
        .collect()
}

fn ports(service: &Service, pod: &Backend) -> PortSet {
    let wanted = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    wanted
        .filter_map(|wanted| {
            Some(Port {
                name: Some(wanted.name.clone().unwrap_or_default()),
                number: Some(pod.port(wanted)?),
                protocol: Some(wanted.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
                app_protocol: wanted.app_protocol.clone(),
            })
        })
        .collect()
}

fn endpoint(service: &Service, pod: &Backend, place: &Place, wanted: &str) -> Option<Endpoint> {
    let addresses: Vec<String> = pod
        .addresses
        .iter()
        .filter(|address| family(address) == wanted)
        .map(ToString::to_string)
        .collect();
    if addresses.is_empty() {
        return None;
    }
    let spec = service.spec.as_ref();
    let publishes = spec.and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
    let ready = publishes || (pod.ready && !pod.terminating);
    let zone = match place {
        Place::Node(zone) => zone.clone(),
        Place::Nowhere | Place::Missing => None,
    };
    let distribution = spec.and_then(|spec| spec.traffic_distribution.as_deref());
    Some(Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(pod.ready),
            terminating: Some(pod.terminating),
        }),
        hints: distribution
            .filter(|_| ready)
            .and_then(|wish| hints(wish, pod, zone.as_ref())),
        hostname: pod.hostname_in(service),
        node_name: pod.node.clone(),
        target_ref: Some(pod.reference()),
        zone,
        deprecated_topology: None,
    })
}

/// Whom an endpoint is for, where the Service wishes traffic to stay near.
fn hints(wish: &str, pod: &Backend, zone: Option<&String>) -> Option<EndpointHints> {
    let for_zones = zone.map(|zone| vec![ForZone { name: zone.clone() }]);
    let for_nodes = pod
        .node
        .as_ref()
        .filter(|_| wish == "PreferSameNode")
        .map(|node| vec![ForNode { name: node.clone() }]);
    let known = matches!(wish, "PreferClose" | "PreferSameZone" | "PreferSameNode");
    (known && (for_zones.is_some() || for_nodes.is_some())).then_some(EndpointHints { for_nodes, for_zones })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        let mut service = json!({
            "metadata": { "name": "web", "namespace": "default", "uid": "s" },
            "spec": {
                "selector": { "app": "web" }, "clusterIP": "10.43.0.7", "ipFamilies": ["IPv4"],
                "ports": [{ "name": "http", "port": 80, "targetPort": "web", "protocol": "TCP" }],
            },
        });
        for (key, value) in spec.as_object().unwrap() {
            service["spec"][key] = value.clone();
        }
        serde_json::from_value(service).unwrap()
    }

    fn pod(name: &str, number: u16, ready: bool) -> Value {
        json!({
            "metadata": { "name": name, "namespace": "default", "uid": name, "labels": { "app": "web" } },
            "spec": { "nodeName": "n1", "containers": [
                { "name": "c", "ports": [{ "name": "web", "containerPort": number }] },
            ] },
            "status": { "phase": "Running", "podIP": "10.42.0.5", "podIPs": [{ "ip": "10.42.0.5" }, { "ip": "fd00::5" }],
                "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
        })
    }

    fn made(service: &Service, pods: &[Value]) -> Vec<Group> {
        let mut index = Index::default();
        index.set_node("n1", Some("a".to_owned()));
        let pods: Vec<Arc<Backend>> = pods
            .iter()
            .map(|pod| Arc::new(Backend::read(&serde_json::from_value(pod.clone()).unwrap())))
            .collect();
        groups(service, &pods, &index)
    }

    fn only(groups: &[Group]) -> Endpoint {
        let [group] = groups else {
            panic!("{groups:?}");
        };
        let [endpoint] = &group.endpoints[..] else {
            panic!("{group:?}");
        };
        endpoint.clone()
    }

    #[test]
    fn an_endpoint_says_where_its_pod_is_and_how_it_does() {
        let groups = made(&service(json!({})), &[pod("a", 8080, true)]);
        let endpoint = only(&groups);
        assert_eq!(endpoint.addresses, ["10.42.0.5"]);
        assert_eq!(endpoint.node_name.as_deref(), Some("n1"));
        assert_eq!(endpoint.zone.as_deref(), Some("a"));
        assert_eq!(endpoint.target_ref.unwrap().kind.as_deref(), Some("Pod"));
        let port = groups[0].ports.iter().next().unwrap();
        assert_eq!((port.number, port.name.as_deref()), (Some(8080), Some("http")));
    }

    #[test]
    fn conditions_follow_the_documented_table() {
        let publishing = json!({ "publishNotReadyAddresses": true });
        for (spec, ready, terminating, expected) in [
            (json!({}), true, false, [true, true, false]),
            (json!({}), false, false, [false, false, false]),
            (json!({}), true, true, [false, true, true]),
            (publishing.clone(), false, false, [true, false, false]),
            (publishing, true, true, [true, true, true]),
        ] {
            let mut pod = pod("a", 80, ready);
            if terminating {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            let conditions = only(&made(&service(spec.clone()), &[pod])).conditions.unwrap();
            let found = [conditions.ready, conditions.serving, conditions.terminating];
            assert_eq!(found, expected.map(Some), "{spec} {ready} {terminating}");
        }
    }

    #[test]
    fn pods_that_call_different_numbers_by_one_name_lie_in_groups_of_their_own() {
        let groups = made(&service(json!({})), &[pod("a", 80, true), pod("b", 81, true)]);
        assert_eq!(groups.len(), 2);
    }

    #[test]
    fn two_families_make_two_groups_and_one_family_only_its_own() {
        let both = service(json!({ "ipFamilies": ["IPv6", "IPv4"] }));
        let groups = made(&both, &[pod("a", 80, true)]);
        let families: Vec<&str> = groups.iter().map(|group| group.family.as_str()).collect();
        assert_eq!(families, ["IPv4", "IPv6"]);
    }

    #[test]
    fn pods_that_have_ended_or_whose_node_has_gone_are_left_out() {
        let mut ended = pod("a", 80, true);
        ended["status"]["phase"] = json!("Succeeded");
        let mut lost = pod("b", 80, true);
        lost["spec"]["nodeName"] = json!("gone");
        let mut unaddressed = pod("c", 80, true);
        unaddressed["status"] = json!({});
        assert_eq!(made(&service(json!({})), &[ended, lost, unaddressed]), []);
    }

    #[test]
    fn hints_name_zone_and_node_as_the_service_wishes() {
        let hints = |wish: &str| {
            let wish = service(json!({ "trafficDistribution": wish }));
            only(&made(&wish, &[pod("a", 80, true)]))
                .hints
                .unwrap_or_default()
        };
        assert_eq!(hints("PreferClose").for_zones.unwrap()[0].name, "a");
        assert_eq!(hints("PreferClose").for_nodes, None);
        assert_eq!(hints("PreferSameNode").for_nodes.unwrap()[0].name, "n1");
        assert_eq!(hints("Nonsense"), EndpointHints::default());
    }

    #[test]
    fn labels_come_from_the_service_but_for_the_reserved_ones() {
        let mut service = service(json!({ "clusterIP": "None" }));
        service.metadata.labels = Some(
            [("app", "web"), (MANAGED_BY, "somebody")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        );
        let labels = frame(&service).labels;
        assert_eq!(labels.get("app").map(String::as_str), Some("web"));
        assert_eq!(labels.get(MANAGED_BY).map(String::as_str), Some(MANAGER));
        assert_eq!(labels.get(SERVICE_NAME).map(String::as_str), Some("web"));
        assert_eq!(labels.get(HEADLESS).map(String::as_str), Some(""));
    }
}
