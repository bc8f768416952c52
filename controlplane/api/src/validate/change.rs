//! What an update may not change.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::at;
use crate::validate::metadata::IMMUTABLE;

/// What an object has at a dotted path; null and nothing are the same.
fn found<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    at(object, path).filter(|value| !value.is_null())
}

/// Whether an update changes what is at a dotted path.
pub(crate) fn differs(new: &Value, old: &Value, path: &str) -> bool {
    found(new, path) != found(old, path)
}

/// `field is immutable`, where what is at a dotted path differs.
pub(crate) fn immutable(new: &Value, old: &Value, path: &str) -> Option<FieldError> {
    let bad = || found(new, path).cloned().unwrap_or_default();
    differs(new, old, path).then(|| Path::new(path).invalid(bad(), IMMUTABLE))
}

/// `Forbidden`, where what is at a dotted path differs.
pub(crate) fn forbidden(new: &Value, old: &Value, path: &str, detail: &str) -> Option<FieldError> {
    differs(new, old, path).then(|| Path::new(path).forbidden(detail))
}
