//! StorageClasses.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::name_of_default;
use super::define::{age, field, kind, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::storage::class;

const DEFAULT: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

pub(super) fn resource() -> Resource {
    kind("storage.k8s.io", "v1", "StorageClass", "storageclasses")
        .cluster_wide()
        .short(&["sc"])
        .shown_by(vec![
            name_of_default(|object, _| marked(object, &DEFAULT)),
            field(
                "Provisioner",
                "provisioner",
                "provisioner indicates the type of the provisioner.",
            ),
            text(
                "ReclaimPolicy",
                "reclaimPolicy controls the reclaimPolicy for dynamically provisioned PersistentVolumes of this \
                 storage class. Defaults to Delete.",
                |object, _| or(object, "reclaimPolicy", "Delete"),
            ),
            text(
                "VolumeBindingMode",
                "volumeBindingMode indicates how PersistentVolumeClaims should be provisioned and bound.  When unset, \
                 VolumeBindingImmediate is used. This field is only honored by servers that enable the VolumeScheduling \
                 feature.",
                |object, _| or(object, "volumeBindingMode", "Immediate"),
            ),
            text(
                "AllowVolumeExpansion",
                "allowVolumeExpansion shows whether the storage class allow volume expand.",
                expansion,
            ),
            age(),
        ])
        .ruled_by(Rules)
}

/// The name, with a mark where one of the annotations says that this class is the default one.
pub(super) fn marked(object: &Value, annotations: &[&str]) -> Value {
    let found = meta::annotations(object);
    let is_default = annotations
        .iter()
        .any(|key| found.get(*key).is_some_and(|value| value == "true"));
    let name = meta::name(object);
    if is_default {
        format!("{name} (default)").into()
    } else {
        name.into()
    }
}

fn or(object: &Value, field: &str, default: &str) -> Value {
    match read::text(object, field) {
        "" => default.into(),
        value => value.into(),
    }
}

fn expansion(object: &Value, _: Timestamp) -> Value {
    read::flag(object, "allowVolumeExpansion").into()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        class::storage(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        class::storage_update(new, old)
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        class::warnings(new)
    }
}
