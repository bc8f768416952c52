//! IPAddresses.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::NONE;
use super::define::{kind, name, text};
use crate::field::FieldError;
use crate::names::NameCheck;
use crate::read;
use crate::resource::{Resource, at};
use crate::strategy::Strategy;
use crate::validate::{address, service_range};

pub(super) fn resource() -> Resource {
    kind("networking.k8s.io", "v1", "IPAddress", "ipaddresses")
        .cluster_wide()
        .short(&["ip"])
        .shown_by(vec![
            name(),
            text(
                "ParentRef",
                "ParentRef references the resource that an IPAddress is attached to. An IPAddress must reference a \
                 parent object.",
                parent,
            ),
        ])
        .ruled_by(Rules)
}

fn parent(object: &Value, _: Timestamp) -> Value {
    let Some(found) = at(object, "spec.parentRef").filter(|found| !found.is_null()) else {
        return NONE.into();
    };
    let part = |field| read::text(found, field);
    let group = match part("group") {
        "" => String::new(),
        group => format!(".{group}"),
    };
    let kind = format!("{}{group}", part("resource")).to_lowercase();
    let namespace = match part("namespace") {
        "" => String::new(),
        namespace => format!("/{namespace}"),
    };
    format!("{kind}{namespace}/{}", part("name")).into()
}

/// The name is the address.
#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn name_check(&self) -> NameCheck {
        address::canonical_ip
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        service_range::address(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = service_range::address(new);
        errors.extend(service_range::address_update(new, old));
        errors
    }
}
