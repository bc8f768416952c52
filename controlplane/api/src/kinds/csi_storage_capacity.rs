//! CSIStorageCapacities.

use jiff::Timestamp;
use serde_json::Value;

use super::define::{field, kind, name, text};
use crate::field::FieldError;
use crate::resource::{Resource, at};
use crate::strategy::Strategy;
use crate::validate::resources;
use crate::validate::storage::capacity;

// Upstream's descriptions of columns, to the letter.
const STORAGE_CLASS_NAME_HELP: &str = "storageClassName represents the name of the StorageClass that the reported capacity applies to. It must meet \
    the same requirements as the name of a StorageClass object (non-empty, DNS subdomain). If that object no \
    longer exists, the CSIStorageCapacity object is obsolete and should be removed by its creator. This field is \
    immutable.";
const CAPACITY_HELP: &str = "capacity is the value reported by the CSI driver in its GetCapacityResponse for a GetCapacityRequest with \
    topology and parameters that match the previous fields.\n\nThe semantic is currently (CSI spec 1.2) defined \
    as: The available capacity, in bytes, of the storage that can be used to provision volumes. If not set, that \
    information is currently unavailable.";

pub(super) fn resource() -> Resource {
    let resource = kind(
        "storage.k8s.io",
        "v1",
        "CSIStorageCapacity",
        "csistoragecapacities",
    )
    .shown_by(vec![
        name(),
        field("StorageClassName", "storageClassName", STORAGE_CLASS_NAME_HELP),
        text("Capacity", CAPACITY_HELP, capacity_cell),
    ])
    .ruled_by(Rules);
    Resource {
        unconditional_update: false,
        ..resource
    }
}

fn capacity_cell(object: &Value, _: Timestamp) -> Value {
    match at(object, "capacity").filter(|amount| !amount.is_null()) {
        Some(amount) => resources::shown(amount),
        None => "<unset>".into(),
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        capacity::capacity(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        capacity::capacity_update(new, old)
    }
}
