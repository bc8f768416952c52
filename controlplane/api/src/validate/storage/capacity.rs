//! Rules for CSIStorageCapacities.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::number::NON_NEGATIVE;
use crate::validate::{change, naming, resources, workload};

/// What is wrong with a CSIStorageCapacity; values in its selector may stay as `old` has them.
pub(crate) fn capacity(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(selector) = object.get("nodeTopology") {
        errors.extend(workload::selector_errors(
            selector,
            workload::values_after(old.and_then(|old| old.get("nodeTopology"))),
            &Path::new("nodeTopology"),
        ));
    }
    let class = read::text(object, "storageClassName");
    errors.extend(naming::broken(
        names::dns_subdomain,
        class,
        &Path::new("storageClassName"),
    ));
    let amount = object.get("capacity").and_then(resources::quantity);
    if let Some(amount) = amount.filter(|amount| amount.is_negative()) {
        errors.push(Path::new("capacity").invalid(amount.to_string(), NON_NEGATIVE));
    }
    errors
}

/// What is wrong with an update of a CSIStorageCapacity: what it is about never changes.
pub(crate) fn capacity_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = capacity(new, Some(old));
    for field in ["nodeTopology", "storageClassName"] {
        errors.extend(change::immutable(new, old, field));
    }
    errors
}
