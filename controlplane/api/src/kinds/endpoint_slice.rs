//! EndpointSlices.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::first_three;
use super::define::{age, field, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::endpoints;

const UNSET: &str = "<unset>";

// Upstream's descriptions of columns, to the letter.
const ADDRESS_TYPE_HELP: &str = "addressType specifies the type of address carried by this EndpointSlice. All addresses in this slice must be \
    the same type. This field is immutable after creation. The following address types are currently supported: \
    * IPv4: Represents an IPv4 Address. * IPv6: Represents an IPv6 Address. * FQDN: Represents a Fully Qualified \
    Domain Name.";
const PORTS_HELP: &str = "ports specifies the list of network ports exposed by each endpoint in this slice. Each port must have a \
    unique name. When ports is empty, it indicates that there are no defined ports. When a port is defined with \
    a nil port value, it indicates \"all ports\". Each slice may include a maximum of 100 ports.";

pub(super) fn resource() -> Resource {
    kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
        .shown_by(vec![
            name(),
            field("AddressType", "addressType", ADDRESS_TYPE_HELP),
            text("Ports", PORTS_HELP, ports),
            text(
                "Endpoints",
                "endpoints is a list of unique endpoints in this slice. Each slice may include a maximum of \
                 1000 endpoints.",
                addresses,
            ),
            age(),
        ])
        .ruled_by(Rules)
}

fn ports(object: &Value, _: Timestamp) -> Value {
    let shown: Vec<String> = read::list(object, "ports").iter().map(port).collect();
    or_unset(first_three(&shown, ""))
}

/// The port's number, else its name, else that it stands for all.
fn port(port: &Value) -> String {
    match (
        read::integer(port, "port"),
        port.get("name").and_then(Value::as_str),
    ) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    }
}

fn or_unset(shown: String) -> Value {
    if shown.is_empty() {
        UNSET.into()
    } else {
        shown.into()
    }
}

fn addresses(object: &Value, _: Timestamp) -> Value {
    let shown: Vec<String> = read::list(object, "endpoints")
        .iter()
        .flat_map(|endpoint| read::texts(endpoint, "addresses"))
        .map(str::to_owned)
        .collect();
    first_three(&shown, UNSET).into()
}

/// Nobody writes the topology of the first version by this one; a node that only stood there moves to its field.
fn drop_topology(slice: &mut Value, old: Option<&Value>) {
    if old.is_some_and(|old| old.get("endpoints") == slice.get("endpoints")) {
        return;
    }
    let before = old.map(|old| read::list(old, "endpoints")).unwrap_or_default();
    let nodes: Vec<String> = before.iter().filter_map(node_of).collect();
    let endpoints = slice.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in endpoints.into_iter().flatten() {
        let node = node_of(endpoint).filter(|node| nodes.contains(node));
        let endpoint = meta::object_mut(endpoint);
        endpoint.remove("deprecatedTopology");
        if let Some(node) = node {
            endpoint.entry("nodeName").or_insert_with(|| node.into());
        }
    }
}

/// The node that an endpoint's old topology names.
fn node_of(endpoint: &Value) -> Option<String> {
    let topology = endpoint.get("deprecatedTopology")?;
    topology
        .get("kubernetes.io/hostname")?
        .as_str()
        .map(str::to_owned)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    // Consumers find slices by their labels, so these count, too.
    fn generation_moves(&self, new: &Value, old: &Value) -> bool {
        let wishes = ["addressType", "endpoints", "ports"].into_iter();
        meta::labels(new) != meta::labels(old)
            || wishes.into_iter().any(|field| new.get(field) != old.get(field))
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        drop_topology(object, None);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        drop_topology(new, Some(old));
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        endpoints::slice_warnings(new, old.is_none())
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        endpoints::slice(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors: Vec<FieldError> = endpoints::address_type_changed(new, old).into_iter().collect();
        errors.extend(endpoints::slice(new, Some(old)));
        errors
    }
}
