//! Rules for events, in their stored (core) form.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::names;
use crate::read;
use crate::resource::at;

const LONGEST_WORD: usize = 128;
const LONGEST_MESSAGE: usize = 1024;

/// What is wrong with an event of either group; `reporter` is what the group calls the reporting controller.
///
/// One with an `eventTime` is of the newer kind and must be complete.
pub(crate) fn either(event: &Value, reporter: &str) -> Vec<FieldError> {
    let is_new = !read::text(event, "eventTime").is_empty();
    let mut errors: Vec<FieldError> = namespace(event, is_new).into_iter().collect();
    if !is_new {
        return errors;
    }
    let root = Path::default();
    let controller = read::text(event, "reportingComponent");
    if controller.is_empty() {
        errors.push(root.child(reporter).required(""));
    }
    let rules = names::qualified_name(controller).into_iter();
    errors.extend(rules.map(|rule| root.child(reporter).invalid(controller, rule)));
    for field in ["reportingInstance", "action", "reason"] {
        let word = read::text(event, field);
        if word.is_empty() {
            errors.push(root.child(field).required(""));
        }
        if word.len() > LONGEST_WORD {
            let detail = format!("can have at most {LONGEST_WORD} characters");
            errors.push(root.child(field).invalid("", detail));
        }
    }
    if read::text(event, "message").len() > LONGEST_MESSAGE {
        let detail = format!("can have at most {LONGEST_MESSAGE} characters");
        errors.push(root.child("message").invalid("", detail));
    }
    errors
}

/// An event lies in the namespace of what it is about; `default` for what is in none, and for one of the newer kind
/// `kube-system` as well. Of the newer kind nobody compares.
fn namespace(event: &Value, is_new: bool) -> Option<FieldError> {
    let about = read::text(event, "involvedObject.namespace");
    let own = meta::namespace(event);
    let fits = match (about, is_new) {
        ("", true) => matches!(own, "default" | "kube-system"),
        ("", false) => matches!(own, "default" | ""),
        (_, true) => true,
        (about, false) => about == own,
    };
    (!fits).then(|| Path::new("involvedObject.namespace").invalid(about, "does not match event.namespace"))
}

/// What is wrong with the series of an event of `events.k8s.io`.
fn series(event: &Value) -> Vec<FieldError> {
    const FEWEST: i64 = 2;
    let mut errors = Vec::new();
    if !read::present(event, "series") {
        return errors;
    }
    if read::count(event, "series.count") < FEWEST {
        errors.push(Path::new("series.count").invalid("", format!("should be at least {FEWEST}")));
    }
    if read::text(event, "series.lastObservedTime").is_empty() {
        errors.push(Path::new("series.lastObservedTime").required(""));
    }
    errors
}

/// What is wrong with a new event of `events.k8s.io`, beside what is wrong with either: the fields of
/// before must be unset.
pub(crate) fn newer(event: &Value) -> Vec<FieldError> {
    const UNSET: &str = "needs to be unset";
    let root = Path::default();
    let mut errors = series(event);
    if read::text(event, "eventTime").is_empty() {
        errors.push(root.child("eventTime").required(""));
    }
    let kind = read::text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        let detail = format!("has invalid value: {kind}");
        errors.push(root.child("type").invalid("", detail));
    }
    for (field, set) in [
        ("firstTimestamp", read::present(event, "firstTimestamp")),
        ("lastTimestamp", read::present(event, "lastTimestamp")),
        ("count", read::count(event, "count") != 0),
        (
            "source",
            !read::text(event, "source.component").is_empty() || !read::text(event, "source.host").is_empty(),
        ),
    ] {
        if set {
            errors.push(root.child(field).invalid("", UNSET));
        }
    }
    errors
}

/// What is wrong with an update of an `events.k8s.io` event: only its series goes on.
pub(crate) fn changed(new: &Value, old: &Value) -> Vec<FieldError> {
    // The reason comes twice, as upstream compares it twice.
    const FIXED: [&str; 14] = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ];
    let mut errors = Vec::new();
    if at(new, "series") != at(old, "series") {
        errors.extend(series(new));
    }
    let changed = FIXED.iter().filter(|field| at(new, field) != at(old, field));
    errors.extend(changed.map(|field| {
        let named = match *field {
            "reportingComponent" => "reportingController",
            field => field,
        };
        Path::new(named).invalid(at(new, field).cloned().unwrap_or_default(), "field is immutable")
    }));
    errors
}
