//! Rules for PriorityClasses.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;
use crate::validate::change;

const RESERVED: &str = "system-";
const HIGHEST: i64 = 1_000_000_000;
const POLICIES: [&str; 2] = ["PreemptLowerPriority", "Never"];

/// Names and values of the classes that the system has for itself.
pub(crate) const SYSTEM: [(&str, i64); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

/// What is wrong with a PriorityClass.
pub(crate) fn priority_class(object: &Value) -> Vec<FieldError> {
    let (name, value) = (meta::name(object), read::count(object, "value"));
    let mut errors = Vec::new();
    if name.starts_with(RESERVED) {
        errors.extend(
            reserved(name, value, read::flag(object, "globalDefault")).map(|why| {
                Path::new("metadata.name").forbidden(format!(
                "priority class names with '{RESERVED}' prefix are reserved for system use only. error: {why}"
            ))
            }),
        );
    } else if value > HIGHEST {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.push(Path::new("value").forbidden(detail));
    }
    let path = Path::new("preemptionPolicy");
    match read::text(object, "preemptionPolicy") {
        "" if read::present(object, "preemptionPolicy") => errors.push(path.required("")),
        "" => {}
        known if POLICIES.contains(&known) => {}
        other => errors.push(path.not_supported(other, &POLICIES)),
    }
    errors
}

/// Why a class with a reserved name is none of the system's.
fn reserved(name: &str, value: i64, is_default: bool) -> Option<String> {
    match SYSTEM.iter().find(|(known, _)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, wanted)) if *wanted != value => {
            Some(format!("value of {name} PriorityClass must be {wanted}"))
        }
        Some(_) if is_default => Some(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => None,
    }
}

/// What is wrong with an update of a PriorityClass: pods have its value already.
pub(crate) fn priority_class_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if read::count(new, "value") != read::count(old, "value") {
        errors.push(Path::new("value").forbidden("may not be changed in an update."));
    }
    errors.extend(change::immutable(new, old, "preemptionPolicy"));
    errors
}
