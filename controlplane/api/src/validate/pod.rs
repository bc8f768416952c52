//! Rules for pods and the templates they are made from.

pub(crate) mod warnings;

use serde_json::Value;

use crate::field::{FieldError, Path};

/// What is wrong with a pod, beside its metadata.
#[must_use]
pub fn pod(object: &Value) -> Vec<FieldError> {
    spec(object.get("spec").unwrap_or(&Value::Null), &Path::new("spec"))
}

/// What is wrong with a pod's spec at `path`.
#[must_use]
pub fn spec(spec: &Value, path: &Path) -> Vec<FieldError> {
    let _ = (spec, path);
    Vec::new()
}

/// What is wrong with an update of a pod.
#[must_use]
pub fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let _ = old;
    pod(new)
}

/// What is wrong with a write of a pod's status.
#[must_use]
pub fn status_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let _ = (new, old);
    Vec::new()
}
