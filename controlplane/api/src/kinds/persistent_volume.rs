//! PersistentVolumes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{access_modes, class, or_unset, phase};
use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource, at};
use crate::strategy::{Context, Strategy};
use crate::time;
use crate::validate::{persistent_volume, resources};

// Upstream's descriptions of columns, to the letter.
const RECLAIM_POLICY_HELP: &str = "persistentVolumeReclaimPolicy defines what happens to a persistent volume when released from its claim. \
    Valid options are Retain (default for manually created PersistentVolumes), Delete (default for dynamically \
    provisioned PersistentVolumes), and Recycle (deprecated). Recycle must be supported by the volume plugin \
    underlying this PersistentVolume. More info: \
    https://kubernetes.io/docs/concepts/storage/persistent-volumes#reclaiming";
const CLAIM_HELP: &str = "claimRef is part of a bi-directional binding between PersistentVolume and PersistentVolumeClaim. Expected to \
    be non-nil when bound. claim.VolumeName is the authoritative bind between PV and PVC. More info: \
    https://kubernetes.io/docs/concepts/storage/persistent-volumes#binding";

pub(super) fn resource() -> Resource {
    kind("", "v1", "PersistentVolume", "persistentvolumes")
        .cluster_wide()
        .short(&["pv"])
        .showing_deleted()
        .with_status()
        .shown_by(columns())
        .ruled_by(Rules)
}

fn columns() -> Vec<Column> {
    vec![
        name(),
        text(
            "Capacity",
            "capacity is the description of the persistent volume's resources and capacity. More info: \
             https://kubernetes.io/docs/concepts/storage/persistent-volumes#capacity",
            capacity,
        ),
        text(
            "Access Modes",
            "accessModes contains all ways the volume can be mounted. More info: \
             https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes",
            |volume, _| access_modes(volume, "spec.accessModes").into(),
        ),
        text("Reclaim Policy", RECLAIM_POLICY_HELP, |volume, _| {
            read::text(volume, "spec.persistentVolumeReclaimPolicy").into()
        }),
        text(
            "Status",
            "phase indicates if a volume is available, bound to a claim, or released by a claim. More info: \
             https://kubernetes.io/docs/concepts/storage/persistent-volumes#phase",
            phase,
        ),
        text("Claim", CLAIM_HELP, claim),
        text("StorageClass", "StorageClass of the pv", class),
        text(
            "VolumeAttributesClass",
            "VolumeAttributesClass of the pv",
            |volume, _| or_unset(volume, "spec.volumeAttributesClassName"),
        ),
        text(
            "Reason",
            "reason is a brief CamelCase string that describes any failure and is meant for machine parsing and tidy display in the CLI.",
            |volume, _| read::text(volume, "status.reason").into(),
        ),
        age(),
        text(
            "VolumeMode",
            "volumeMode defines if a volume is intended to be used with a formatted filesystem or to remain \
             in raw block state. Value of Filesystem is implied when not included in spec.",
            |volume, _| or_unset(volume, "spec.volumeMode"),
        )
        .wide(),
    ]
}

fn capacity(volume: &Value, _: Timestamp) -> Value {
    match at(volume, "spec.capacity.storage") {
        Some(amount) => resources::shown(amount),
        None => "0".into(),
    }
}

fn claim(volume: &Value, _: Timestamp) -> Value {
    if !read::present(volume, "spec.claimRef") {
        return "".into();
    }
    let part = |field| read::text(volume, field);
    format!(
        "{}/{}",
        part("spec.claimRef.namespace"),
        part("spec.claimRef.name")
    )
    .into()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, context: &Context) {
        let first = json!({"phase": "Pending", "lastPhaseTransitionTime": time::format(context.now)});
        meta::object_mut(object).insert("status".to_owned(), first);
    }

    /// The time of the last change of phase is the server's, unless the writer says it.
    fn prepare_status_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let moved = read::text(new, "status.phase") != read::text(old, "status.phase");
        let told = |object| at(object, "status.lastPhaseTransitionTime").cloned();
        if moved && (told(new).is_none() || told(new) == told(old)) {
            let status = meta::object_mut(meta::member_mut(new, "status"));
            let now = time::format(context.now);
            status.insert("lastPhaseTransitionTime".to_owned(), now.into());
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        persistent_volume::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        persistent_volume::update(new, old)
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        persistent_volume::warnings(new)
    }
}
