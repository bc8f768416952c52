//! Endpoints.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{NONE, first_three, host_port};
use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::endpoints;

// Upstream's descriptions of columns, to the letter.
const ENDPOINTS_HELP: &str = "The set of all endpoints is the union of all subsets. Addresses are placed into subsets according to the IPs \
    they share. A single address with multiple ports, some of which are ready and some of which are not (because \
    they come from different containers) will result in the address being displayed in different subsets for the \
    different ports. No address will appear in both Addresses and NotReadyAddresses in the same subset. Sets of \
    addresses and ports that comprise a service.";

pub(super) fn resource() -> Resource {
    let resource = kind("", "v1", "Endpoints", "endpoints")
        .short(&["ep"])
        .shown_by(vec![name(), text("Endpoints", ENDPOINTS_HELP, addresses), age()])
        .ruled_by(Rules);
    // The kind is a plural already; its lists are named after it all the same.
    Resource {
        create_on_update: true,
        warning: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()),
        ..resource
    }
}

fn addresses(object: &Value, _: Timestamp) -> Value {
    let subsets = read::list(object, "subsets");
    if subsets.is_empty() {
        return NONE.into();
    }
    let mut shown = Vec::new();
    for subset in subsets {
        let addresses = read::list(subset, "addresses")
            .iter()
            .map(|address| read::text(address, "ip"));
        match read::list(subset, "ports") {
            [] => shown.extend(addresses.map(str::to_owned)),
            ports => shown.extend(ports.iter().flat_map(|port| {
                let number = read::count(port, "port");
                addresses.clone().map(move |address| host_port(address, number))
            })),
        }
    }
    first_three(&shown, "").into()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, _: &mut Value, _: &crate::strategy::Context) {}

    fn prepare_update(&self, _: &mut Value, _: &Value, _: &crate::strategy::Context) {}

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        endpoints::subsets(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        // What an older server let through may stay as it is.
        if new.get("subsets") == old.get("subsets") {
            return Vec::new();
        }
        endpoints::subsets(new, Some(old))
    }
}
