//! Services.

mod form;

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{NONE, map_selector, or_none, points};
use super::define::{age, body, field, kind, name, text};
use super::pod::PROXY;
use crate::field::FieldError;
use crate::names::{self, NameCheck};
use crate::read;
use crate::resource::{Resource, Role, SelectableField};
use crate::strategy::Strategy;
use crate::validate::service;

// Upstream's descriptions of columns, to the letter.
const TYPE_HELP: &str = "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are ExternalName, \
    ClusterIP, NodePort, and LoadBalancer. \"ClusterIP\" allocates a cluster-internal IP address for \
    load-balancing to endpoints. Endpoints are determined by the selector or if that is not specified, by manual \
    construction of an Endpoints object or EndpointSlice objects. If clusterIP is \"None\", no virtual IP is \
    allocated and the endpoints are published as a set of endpoints rather than a virtual IP. \"NodePort\" \
    builds on ClusterIP and allocates a port on every node which routes to the same endpoints as the clusterIP. \
    \"LoadBalancer\" builds on NodePort and creates an external load-balancer (if supported in the current \
    cloud) which routes to the same endpoints as the clusterIP. \"ExternalName\" aliases this service to the \
    specified externalName. Several other fields do not apply to ExternalName services. More info: \
    https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types";
const CLUSTER_IP_HELP: &str = "clusterIP is the IP address of the service and is usually assigned randomly. If an address is specified \
    manually, is in-range (as per system configuration), and is not in use, it will be allocated to the service; \
    otherwise creation of the service will fail. This field may not be changed through updates unless the type \
    field is also being changed to ExternalName (which requires this field to be blank) or the type field is \
    being changed from ExternalName (in which case this field may optionally be specified, as describe above).  \
    Valid values are \"None\", empty string (\"\"), or a valid IP address. Setting this to \"None\" makes a \
    \"headless service\" (no virtual IP), which is useful when direct endpoint connections are preferred and \
    proxying is not required.  Only applies to types ClusterIP, NodePort, and LoadBalancer. If this field is \
    specified when creating a Service of type ExternalName, creation will fail. This field will be wiped when \
    updating a Service to type ExternalName. More info: \
    https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies";
const EXTERNAL_IP_HELP: &str = "externalIPs is a list of IP addresses for which nodes in the cluster will also accept traffic for this \
    service.  These IPs are not managed by Kubernetes.  The user is responsible for ensuring that traffic \
    arrives at a node with this IP.  A common example is external load-balancers that are not part of the \
    Kubernetes system.";
const SELECTOR_HELP: &str = "Route service traffic to pods with label keys and values matching this selector. If empty or not present, \
    the service is assumed to have an external process managing its endpoints, which Kubernetes will not modify. \
    Only applies to types ClusterIP, NodePort, and LoadBalancer. Ignored if type is ExternalName. More info: \
    https://kubernetes.io/docs/concepts/services-networking/service/";

pub(super) fn resource() -> Resource {
    let resource = kind("", "v1", "Service", "services")
        .short(&["svc"])
        .in_category("all")
        .showing_deleted()
        .with_status()
        .with_subresource(
            "proxy",
            Role::Connect,
            &PROXY,
            body("", "v1", "ServiceProxyOptions"),
        )
        .shown_by(vec![
            name(),
            field("Type", "spec.type", TYPE_HELP),
            text(
                "Cluster-IP",
                CLUSTER_IP_HELP,
                cluster_ip,
            ),
            text(
                "External-IP",
                EXTERNAL_IP_HELP,
                external_ip,
            ),
            text(
                "Port(s)",
                "The list of ports that are exposed by this service. More info: \
                 https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies",
                ports,
            ),
            age(),
            text(
                "Selector",
                SELECTOR_HELP,
                map_selector,
            )
            .wide(),
        ])
        .selected_by(vec![
            SelectableField::path("spec.clusterIP"),
            SelectableField::path("spec.type"),
        ])
        .ruled_by(Rules);
    Resource {
        create_on_update: true,
        ..resource
    }
}

fn cluster_ip(object: &Value, _: Timestamp) -> Value {
    match read::texts(object, "spec.clusterIPs").first() {
        Some(address) => or_none(address),
        None => or_none(read::text(object, "spec.clusterIP")),
    }
}

fn external_ip(object: &Value, _: Timestamp) -> Value {
    let own = read::texts(object, "spec.externalIPs");
    let (shown, none) = match read::text(object, "spec.type") {
        "ExternalName" => return read::text(object, "spec.externalName").into(),
        "ClusterIP" | "NodePort" => (own.join(","), NONE),
        "LoadBalancer" => {
            let balancers = points(object);
            let all: Vec<&str> = balancers.iter().copied().chain(own).collect();
            (all.join(","), "<pending>")
        }
        _ => return "<unknown>".into(),
    };
    if shown.is_empty() {
        none.into()
    } else {
        shown.into()
    }
}

fn ports(object: &Value, _: Timestamp) -> Value {
    let shown: Vec<String> = read::list(object, "spec.ports").iter().map(port).collect();
    or_none(&shown.join(","))
}

fn port(port: &Value) -> String {
    let protocol = match read::text(port, "protocol") {
        "" => "TCP",
        protocol => protocol,
    };
    match (read::count(port, "port"), read::count(port, "nodePort")) {
        (number, 0) => format!("{number}/{protocol}"),
        (number, node_port) => format!("{number}:{node_port}/{protocol}"),
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn name_check(&self) -> NameCheck {
        names::dns_label
    }

    fn prepare_create(&self, object: &mut Value, _: &crate::strategy::Context) {
        let empty = serde_json::json!({"loadBalancer": {}});
        crate::meta::object_mut(object).insert("status".to_owned(), empty);
        form::create(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &crate::strategy::Context) {
        crate::strategy::keep(new, old, "status");
        form::update(new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        service::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        service::changed(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        service::status(new, old)
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        service::warnings(new)
    }
}
