//! Rules for VolumeAttachments.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{change, naming, number, persistent_volume};

const MAX_METADATA: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024;

/// What is wrong with a new VolumeAttachment.
pub(crate) fn create(object: &Value) -> Vec<FieldError> {
    let mut errors = both(object);
    let spec = Path::new("spec");
    let attacher = read::text(object, "spec.attacher");
    errors.extend(naming::csi_driver(attacher, &spec.child("attacher")));
    if read::present(object, "spec.source.persistentVolumeName") {
        let name = read::text(object, "spec.source.persistentVolumeName");
        let path = spec.child("source.persistentVolumeName");
        errors.extend(naming::broken(names::dns_subdomain, name, &path));
    }
    errors
}

/// What is wrong with an update of a VolumeAttachment, also through `/status`.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = both(new);
    // Upstream looks at all of it once more.
    errors.extend(both(new));
    errors.extend(change::immutable(new, old, "spec"));
    errors
}

fn both(object: &Value) -> Vec<FieldError> {
    let (spec, status) = (Path::new("spec"), Path::new("status"));
    let mut errors = Vec::new();
    if read::text(object, "spec.attacher").is_empty() {
        errors.push(spec.child("attacher").required(""));
    }
    errors.extend(source(object, &spec.child("source")));
    let node = read::text(object, "spec.nodeName");
    errors.extend(naming::broken(
        names::dns_subdomain,
        node,
        &spec.child("nodeName"),
    ));
    let size: usize = read::map(object, "status.attachmentMetadata")
        .map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len())
        .sum();
    if size > MAX_METADATA {
        errors.push(status.child("attachmentMetadata").too_long(MAX_METADATA));
    }
    for field in ["attachError", "detachError"] {
        if let Some(error) = at(object, "status").and_then(|status| status.get(field)) {
            errors.extend(volume_error(error, &status.child(field)));
        }
    }
    errors
}

fn source(object: &Value, path: &Path) -> Vec<FieldError> {
    let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let inline = read::present(object, "spec.source.inlineVolumeSpec");
    let by_name = read::present(object, "spec.source.persistentVolumeName");
    match (inline, by_name) {
        (false, false) => vec![path.required(detail)],
        (true, true) => vec![path.forbidden(detail)],
        (false, true) if read::text(object, "spec.source.persistentVolumeName").is_empty() => {
            let detail = "must specify non empty persistentVolumeName";
            vec![path.child("persistentVolumeName").required(detail)]
        }
        (false, true) => Vec::new(),
        (true, false) => {
            let spec = at(object, "spec.source.inlineVolumeSpec").unwrap_or(&Value::Null);
            persistent_volume::inline(spec, &path.child("inlineVolumeSpec"))
        }
    }
}

fn volume_error(error: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if read::text(error, "message").len() > MAX_MESSAGE {
        // Upstream names the bound of the metadata here.
        errors.push(path.child("message").too_long(MAX_METADATA));
    }
    let range = "must be between 0 and 2147483647, inclusive";
    errors.extend(number::at_least(error, "errorCode", path, 0, range));
    errors
}
