//! Rules for conditions of the shared form, `metav1.Condition`.

use serde_json::Value;

use super::number;
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const REASON_MAX: usize = 1024;
const MESSAGE_MAX: usize = 32 * 1024;
const REASON_FMT: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";

/// What is wrong with `conditions` of a status, at `path`.
pub(crate) fn all(status: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, condition) in read::list(status, "conditions").iter().enumerate() {
        let path = path.index(index);
        let kind = read::text(condition, "type");
        if seen.contains(&kind) {
            errors.push(path.child("type").duplicate(kind));
        }
        seen.push(kind);
        errors.extend(one(condition, &path));
    }
    errors
}

fn one(condition: &Value, path: &Path) -> Vec<FieldError> {
    let text = |field: &str| read::text(condition, field);
    let mut errors = match text("type") {
        "" => vec![path.child("type").required("must be set")],
        kind => names::qualified_name(kind)
            .into_iter()
            .map(|rule| path.child("type").invalid(kind, rule))
            .collect(),
    };
    match text("status") {
        status if STATUSES.contains(&status) => {}
        status => errors.push(path.child("status").not_supported(status, &STATUSES)),
    }
    let rule = "must be greater than or equal to zero";
    errors.extend(number::at_least(condition, "observedGeneration", path, 0, rule));
    if text("lastTransitionTime").is_empty() {
        errors.push(path.child("lastTransitionTime").required("must be set"));
    }
    errors.extend(reason(text("reason"), &path.child("reason")));
    if text("message").len() > MESSAGE_MAX {
        errors.push(path.child("message").too_long(MESSAGE_MAX));
    }
    errors
}

fn reason(reason: &str, path: &Path) -> Vec<FieldError> {
    if reason.is_empty() {
        return vec![path.required("must be set")];
    }
    let mut errors = Vec::new();
    if !is_reason(reason) {
        let detail = format!(
            "a condition reason must start with alphabetic character, optionally followed by a string of \
             alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or \
             'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
             '{REASON_FMT}')"
        );
        errors.push(path.invalid(reason, detail));
    }
    if reason.len() > REASON_MAX {
        errors.push(path.too_long(REASON_MAX));
    }
    errors
}

fn is_reason(reason: &str) -> bool {
    let bytes = reason.as_bytes();
    let edge = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || matches!(byte, b',' | b':'))
}
