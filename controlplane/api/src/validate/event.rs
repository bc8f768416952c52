//! Rules for events, in their stored (core) form.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;
use crate::resource::at;

/// An event lies in the namespace of what it is about; `default` for what is in none.
pub(crate) fn namespace(event: &Value) -> Vec<FieldError> {
    let about = read::text(event, "involvedObject.namespace");
    let own = meta::namespace(event);
    let fits = if about.is_empty() {
        matches!(own, "default" | "kube-system" | "")
    } else {
        about == own
    };
    if fits {
        return Vec::new();
    }
    vec![Path::new("involvedObject.namespace").invalid(about, "does not match event.namespace")]
}

/// What an event of `events.k8s.io` lacks.
pub(crate) fn complete(event: &Value) -> Vec<FieldError> {
    let root = Path::default();
    let mut errors = Vec::new();
    if read::text(event, "eventTime").is_empty() {
        errors.push(root.child("eventTime").required(""));
    }
    for (field, named) in [
        ("reportingComponent", "reportingController"),
        ("reportingInstance", "reportingInstance"),
        ("action", "action"),
        ("reason", "reason"),
    ] {
        if read::text(event, field).is_empty() {
            errors.push(root.child(named).required(""));
        }
    }
    let kind = read::text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(root.child("type").invalid(kind, ""));
    }
    let note = read::text(event, "message");
    if note.len() > 1024 {
        errors.push(
            root.child("message")
                .invalid("", "can have at most 1024 characters"),
        );
    }
    errors
}

/// What an update of an `events.k8s.io` event changes beside its series.
pub(crate) fn changed(new: &Value, old: &Value) -> Vec<FieldError> {
    const FIXED: [&str; 10] = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "action",
        "related",
    ];
    FIXED
        .iter()
        .filter(|field| at(new, field) != at(old, field))
        .map(|field| {
            Path::new(field).invalid(at(new, field).cloned().unwrap_or_default(), "field is immutable")
        })
        .collect()
}
