//! ResourceSlices.

use serde_json::Value;

use super::define::{age, field, kind, name};
use super::device_class::GROUP;
use crate::field::FieldError;
use crate::resource::{Resource, SelectableField};
use crate::strategy::Strategy;
use crate::validate::device::slice;

pub(super) fn resource() -> Resource {
    kind(GROUP, "v1", "ResourceSlice", "resourceslices")
        .cluster_wide()
        .shown_by(vec![
            name(),
            field(
                "Node",
                "spec.nodeName",
                "NodeName identifies the node which provides the resources in this pool. A field selector can be used to \
                 list only ResourceSlice objects belonging to a certain node.",
            ),
            field(
                "Driver",
                "spec.driver",
                "Driver identifies the DRA driver providing the capacity information. A field selector can be used to \
                 list only ResourceSlice objects with a certain driver name.",
            ),
            field(
                "Pool",
                "spec.pool.name",
                "Name is used to identify the pool. For node-local devices, this is often the node name, but this is not \
                 required.",
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
