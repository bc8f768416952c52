//! ResourceSlices.

use serde_json::Value;

use super::define::{age, field, kind, name};
use super::device_class::GROUP;
use crate::field::FieldError;
use crate::resource::{Resource, SelectableField};
use crate::strategy::Strategy;
use crate::validate::device::slice;

// Upstream's descriptions of columns, to the letter.
const NODE_HELP: &str = "NodeName identifies the node which provides the resources in this pool. A field selector can be used to list \
    only ResourceSlice objects belonging to a certain node.\n\nThis field can be used to limit access from nodes \
    to ResourceSlices with the same node name. It also indicates to autoscalers that adding new nodes of the \
    same type as some old node might also make new resources available.\n\nExactly one of NodeName, \
    NodeSelector, AllNodes, and PerDeviceNodeSelection must be set. This field is immutable.";
const DRIVER_HELP: &str = "Driver identifies the DRA driver providing the capacity information. A field selector can be used to list \
    only ResourceSlice objects with a certain driver name.\n\nMust be a DNS subdomain and should end with a DNS \
    domain owned by the vendor of the driver. It should use only lower case characters. This field is immutable.";

pub(super) fn resource() -> Resource {
    kind(GROUP, "v1", "ResourceSlice", "resourceslices")
        .cluster_wide()
        .shown_by(vec![
            name(),
            field("Node", "spec.nodeName", NODE_HELP),
            field("Driver", "spec.driver", DRIVER_HELP),
            field(
                "Pool",
                "spec.pool.name",
                "Name is used to identify the pool. For node-local devices, this is often the node name, but \
                 this is not required.\n\nIt must not be longer than 253 characters and must consist of one \
                 or more DNS sub-domains separated by slashes. This field is immutable.",
            ),
            age(),
        ])
        .selected_by(vec![
            SelectableField::path("spec.nodeName"),
            SelectableField::path("spec.driver"),
        ])
        .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        slice::slice(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        slice::slice(new, Some(old))
    }
}
