//! What a Service keeps for life, but where it becomes or has been a mere name.

use serde_json::{Value, json};

use super::{is_headless, kind};
use crate::field::{FieldError, Path};
use crate::read;
use crate::resource::at;

/// What an update changes that a Service keeps for life.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = addresses(new, old);
    errors.extend(families(new, old));
    errors.extend(class(new, old));
    errors
}

fn is_exempt(new: &Value, old: &Value) -> bool {
    kind(new) == "ExternalName" || kind(old) == "ExternalName"
}

fn addresses(new: &Value, old: &Value) -> Vec<FieldError> {
    if is_exempt(new, old) || is_headless(new) && is_headless(old) {
        return Vec::new();
    }
    kept(
        new,
        old,
        "clusterIPs",
        "primary clusterIP can not be unset",
        "clusterIP",
    )
}

fn families(new: &Value, old: &Value) -> Vec<FieldError> {
    if is_exempt(new, old) {
        return Vec::new();
    }
    kept(
        new,
        old,
        "ipFamilies",
        "primary ipFamily can not be unset",
        "ipFamily",
    )
}

/// The first item of a list stays; the second comes and goes with the policy.
fn kept(new: &Value, old: &Value, field: &str, unset: &str, word: &str) -> Vec<FieldError> {
    let path = Path::new("spec").child(field);
    let (before, after) = (read::texts(old, path.as_str()), read::texts(new, path.as_str()));
    let first = |detail: &str| path.index(0).invalid(json!(after), detail);
    let mut errors = Vec::new();
    if before.len() == after.len() {
        let changed = before
            .iter()
            .zip(&after)
            .enumerate()
            .filter(|(_, (old, new))| old != new);
        errors.extend(
            changed.map(|(index, _)| path.index(index).invalid(json!(after), "may not change once set")),
        );
        return errors;
    }
    match (before.first(), after.first()) {
        (Some(_), None) => errors.push(first(unset)),
        (Some(before), Some(after)) if before != after => errors.push(first("may not change once set")),
        _ => {}
    }
    let single = read::text(new, "spec.ipFamilyPolicy") == "SingleStack";
    if before.len() > after.len() && after.len() == 1 && !single {
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {word}");
        let policy = at(new, "spec.ipFamilyPolicy").cloned().unwrap_or_default();
        errors.push(Path::new("spec.ipFamilyPolicy").invalid(policy, detail));
    }
    errors
}

fn class(new: &Value, old: &Value) -> Option<FieldError> {
    let both = kind(new) == "LoadBalancer" && kind(old) == "LoadBalancer";
    let (before, after) = (
        at(old, "spec.loadBalancerClass"),
        at(new, "spec.loadBalancerClass"),
    );
    (both && before != after).then(|| {
        let shown = after.cloned().unwrap_or_default();
        Path::new("spec.loadBalancerClass").invalid(shown, "may not change once set")
    })
}
