//! Services.

mod form;

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{NONE, map_selector, or_none};
use super::define::{age, body, field, kind, name, text};
use super::pod::PROXY;
use crate::field::FieldError;
use crate::names::{self, NameCheck};
use crate::read;
use crate::resource::{Resource, Role, SelectableField};
use crate::strategy::Strategy;
use crate::validate::service;

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
            field("Type", "spec.type", "type determines how the Service is exposed."),
            text(
                "Cluster-IP",
                "clusterIP is the IP address of the service.",
                cluster_ip,
            ),
            text(
                "External-IP",
                "Addresses outside the cluster by which the service is reached.",
                external_ip,
            ),
            text(
                "Port(s)",
                "The list of ports that are exposed by this service.",
                ports,
            ),
            age(),
            text(
                "Selector",
                "Route service traffic to pods with label keys and values matching this selector.",
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
    let mut addresses = Vec::new();
    let kind = read::text(object, "spec.type");
    match kind {
        "ExternalName" => return read::text(object, "spec.externalName").into(),
        "LoadBalancer" => addresses.extend(read::list(object, "status.loadBalancer.ingress").iter().map(
            |ingress| match read::text(ingress, "ip") {
                "" => read::text(ingress, "hostname"),
                ip => ip,
            },
        )),
        _ => {}
    }
    addresses.extend(read::texts(object, "spec.externalIPs"));
    match (addresses.is_empty(), kind) {
        (true, "LoadBalancer") => "<pending>".into(),
        (true, _) => NONE.into(),
        (false, _) => addresses.join(",").into(),
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
        names::dns_1035_label
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
        service::spec(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = service::update(new, old);
        errors.extend(service::spec(new));
        errors
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        service::status(new)
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        service::warnings(new)
    }
}
