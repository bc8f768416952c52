//! VolumeAttachments.

use serde_json::{Value, json};

use super::cells::flag;
use super::define::{age, field, kind, name};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Column, Resource};
use crate::strategy::{Context, Strategy};
use crate::validate::storage::attachment;

pub(super) fn resource() -> Resource {
    let attacher = field(
        "Attacher",
        "spec.attacher",
        "attacher indicates the name of the volume driver that MUST handle this request. This is the name returned by \
         GetPluginName().",
    );
    let resource = kind("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments")
        .cluster_wide()
        .with_status()
        .shown_by(vec![
            name(),
            Column {
                format: "name".into(),
                ..attacher
            },
            field(
                "PV",
                "spec.source.persistentVolumeName",
                "persistentVolumeName represents the name of the persistent volume to attach.",
            ),
            field(
                "Node",
                "spec.nodeName",
                "nodeName represents the node that the volume should be attached to.",
            ),
            flag(
                "Attached",
                "attached indicates the volume is successfully attached. This field must only be set by the entity \
                 completing the attach operation, i.e. the external-attacher.",
                |object, _| read::flag(object, "status.attached").into(),
            ),
            age(),
        ])
        .ruled_by(Rules);
    Resource {
        unconditional_update: false,
        ..resource
    }
}

/// What is attached where is the wish; whether it is, the attacher's status.
#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({"attached": false}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        attachment::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        attachment::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        attachment::update(new, old)
    }
}
