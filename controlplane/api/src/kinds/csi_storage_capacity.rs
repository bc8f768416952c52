//! CSIStorageCapacities.

use serde_json::Value;

use super::define::{field, kind, name};
use crate::field::FieldError;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::storage::capacity;

pub(super) fn resource() -> Resource {
    let resource = kind("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities")
        .shown_by(vec![
            name(),
            field(
                "StorageClassName",
                "storageClassName",
                "storageClassName represents the name of the StorageClass that the reported capacity applies to.",
            ),
            field(
                "Capacity",
                "capacity",
                "capacity is the value reported by the CSI driver in its GetCapacityResponse for a GetCapacityRequest \
                 with topology and parameters that match the previous fields.",
            ),
        ])
        .ruled_by(Rules);
    Resource {
        unconditional_update: false,
        ..resource
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        capacity::capacity(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        capacity::capacity_update(new, old)
    }
}
