//! EndpointSlices.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::first_three;
use super::define::{age, field, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::endpoints;

const UNSET: &str = "<unset>";

pub(super) fn resource() -> Resource {
    kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
        .shown_by(vec![
            name(),
            field(
                "AddressType",
                "addressType",
                "addressType specifies the type of address carried by this EndpointSlice.",
            ),
            text(
                "Ports",
                "ports specifies the list of network ports exposed by each endpoint in this slice.",
                ports,
            ),
            text(
                "Endpoints",
                "endpoints is a list of unique endpoints in this slice.",
                addresses,
            ),
            age(),
        ])
        .ruled_by(Rules)
}

fn ports(object: &Value, _: Timestamp) -> Value {
    let shown: Vec<String> = read::list(object, "ports")
        .iter()
        .map(|port| read::integer(port, "port").map_or_else(|| "*".to_owned(), |number| number.to_string()))
        .collect();
    first_three(&shown, UNSET).into()
}

fn addresses(object: &Value, _: Timestamp) -> Value {
    let shown: Vec<String> = read::list(object, "endpoints")
        .iter()
        .flat_map(|endpoint| read::texts(endpoint, "addresses"))
        .map(str::to_owned)
        .collect();
    first_three(&shown, UNSET).into()
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

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        endpoints::slice(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors: Vec<FieldError> = endpoints::address_type_changed(new, old).into_iter().collect();
        errors.extend(endpoints::slice(new, Some(old)));
        errors
    }
}
