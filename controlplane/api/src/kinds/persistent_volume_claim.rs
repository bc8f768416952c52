//! PersistentVolumeClaims.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{access_modes, class, or_unset, phase};
use super::define::{age, field, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource, at};
use crate::strategy::{Context, Strategy, keep};
use crate::validate::{resources, volume_claim};

pub(super) fn resource() -> Resource {
    kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
        .short(&["pvc"])
        .showing_deleted()
        .with_status()
        .shown_by(columns())
        .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        text(
            "Status",
            "phase represents the current phase of PersistentVolumeClaim.",
            phase,
        ),
        field(
            "Volume",
            "spec.volumeName",
            "volumeName is the binding reference to the PersistentVolume backing this claim.",
        ),
        text(
            "Capacity",
            "capacity represents the actual resources of the underlying volume.",
            capacity,
        ),
        text(
            "Access Modes",
            "accessModes contains the actual access modes the volume backing the PVC has. More info: \
             https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes-1",
            modes,
        ),
        text("StorageClass", "StorageClass of the pvc", class),
        text(
            "VolumeAttributesClass",
            "VolumeAttributesClass of the pvc",
            |claim, _| or_unset(claim, "spec.volumeAttributesClassName"),
        ),
        age(),
        text(
            "VolumeMode",
            "volumeMode defines what type of volume is required by the claim. Value of Filesystem is implied \
             when not included in claim spec.",
            |claim, _| or_unset(claim, "spec.volumeMode"),
        )
        .wide(),
    ]
}

fn is_bound(claim: &Value) -> bool {
    !read::text(claim, "spec.volumeName").is_empty()
}

fn capacity(claim: &Value, _: Timestamp) -> Value {
    match at(claim, "status.capacity.storage") {
        _ if !is_bound(claim) => "".into(),
        Some(amount) => resources::shown(amount),
        None => "0".into(),
    }
}

fn modes(claim: &Value, _: Timestamp) -> Value {
    if is_bound(claim) {
        access_modes(claim, "status.accessModes").into()
    } else {
        "".into()
    }
}

/// What a claim's contents come from is told by two fields, an old one and its successor, which agree.
fn join_sources(new: &mut Value, old: Option<&Value>) {
    let known =
        |object| read::present(object, "spec.dataSource") || read::present(object, "spec.dataSourceRef");
    let (kind, group) = (
        read::text(new, "spec.dataSource.kind").to_owned(),
        read::text(new, "spec.dataSource.apiGroup").to_owned(),
    );
    let understood = matches!(
        (kind.as_str(), group.as_str()),
        ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io")
    );
    let spec = meta::object_mut(meta::member_mut(new, "spec"));
    if !understood && !old.is_some_and(known) {
        spec.remove("dataSource");
    }
    let get = |field: &str| spec.get(field).filter(|source| !source.is_null()).cloned();
    match (get("dataSource"), get("dataSourceRef")) {
        (Some(source), None) => {
            spec.insert("dataSourceRef".to_owned(), source);
        }
        (None, Some(source)) if read::text(&source, "namespace").is_empty() => {
            let mut source = source;
            meta::object_mut(&mut source).remove("namespace");
            spec.insert("dataSource".to_owned(), source);
        }
        _ => {}
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({"phase": "Pending"}));
        join_sources(object, None);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        keep(new, old, "status");
        join_sources(new, Some(old));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        volume_claim::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        volume_claim::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        volume_claim::status(new)
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        volume_claim::warnings(new)
    }
}
