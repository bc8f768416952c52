//! VolumeAttributesClasses.

use serde_json::Value;

use super::cells::name_of_default;
use super::define::{age, field, kind};
use super::storage_class::marked;
use crate::field::FieldError;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::storage::class;

const DEFAULT: [&str; 1] = ["volumeattributesclass.alpha.kubernetes.io/is-default-class"];

pub(super) fn resource() -> Resource {
    kind(
        "storage.k8s.io",
        "v1",
        "VolumeAttributesClass",
        "volumeattributesclasses",
    )
    .cluster_wide()
    .short(&["vac"])
    .shown_by(vec![
        name_of_default(|object, _| marked(object, &DEFAULT)),
        field(
            "DriverName",
            "driverName",
            "Name of the CSI driver This field is immutable.",
        ),
        age(),
    ])
    .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        class::volume_attributes(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        class::volume_attributes_update(new, old)
    }
}
