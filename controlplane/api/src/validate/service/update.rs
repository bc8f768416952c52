//! What a Service keeps for life, but where it becomes or has been a mere name.

use serde_json::{Value, json};

use super::{is_headless, kind, policies};
use crate::field::{FieldError, Path};
use crate::read;
use crate::resource::at;
use crate::validate::metadata::IMMUTABLE;

/// What an update changes that a Service keeps for life.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = addresses(new, old);
    errors.extend(families(new, old));
    errors.extend(class(new, old));
    // Upstream looks at the class here, and once more with the rest.
    errors.extend(policies::class(new));
    errors.extend(health_check(new, old));
    errors
}

fn is_exempt(new: &Value, old: &Value) -> bool {
    kind(new) == "ExternalName" || kind(old) == "ExternalName"
}

fn addresses(new: &Value, old: &Value) -> Vec<FieldError> {
    if is_exempt(new, old) || is_headless(new) && is_headless(old) {
        return Vec::new();
    }
    let all = json!(read::texts(new, "spec.clusterIPs"));
    kept(new, old, "clusterIPs", "clusterIP", &all)
}

/// A headless Service may change its families, and so may one that becomes headless or no longer is.
fn families(new: &Value, old: &Value) -> Vec<FieldError> {
    if is_exempt(new, old) || is_headless(new) || is_headless(old) {
        return Vec::new();
    }
    // Upstream shows the addresses.
    let shown = json!(read::texts(new, "spec.clusterIPs"));
    kept(new, old, "ipFamilies", "ipFamily", &shown)
}

/// The first item of a list stays; the second comes and goes with the policy. `shown` is what the message of a
/// first item that changes beside others shows.
fn kept(new: &Value, old: &Value, field: &str, word: &str, shown: &Value) -> Vec<FieldError> {
    const FIXED: &str = "may not change once set";
    let path = Path::new("spec").child(field);
    let (before, after) = (read::texts(old, path.as_str()), read::texts(new, path.as_str()));
    let first = |value: Value, detail: &str| path.index(0).invalid(value, detail);
    if before.len() == after.len() {
        let pairs = before.iter().zip(&after).enumerate();
        let changed = pairs.filter(|(_, (old, new))| old != new);
        // Upstream names the first family, whichever changes.
        let place = |index: usize| if field == "ipFamilies" { 0 } else { index };
        return changed
            .map(|(index, _)| path.index(place(index)).invalid(json!(after), FIXED))
            .collect();
    }
    let mut errors = Vec::new();
    let unset = read::list(new, "spec.clusterIPs").is_empty();
    if before.len() > after.len() && unset {
        let detail = format!("primary {word} can not be unset");
        errors.push(first(json!(after), &detail));
    }
    if let (Some(before), Some(after)) = (before.first(), after.first())
        && before != after
    {
        errors.push(first(shown.clone(), FIXED));
    }
    let single = read::text(new, "spec.ipFamilyPolicy") == "SingleStack";
    if before.len() > after.len() && after.len() == 1 && !single {
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {word}");
        let policy = at(new, "spec.ipFamilyPolicy").cloned().unwrap_or_default();
        errors.push(Path::new("spec.ipFamilyPolicy").invalid(policy, detail));
    }
    errors
}

fn health_check(new: &Value, old: &Value) -> Option<FieldError> {
    const FIELD: &str = "spec.healthCheckNodePort";
    let both = policies::is_health_checked(new) && policies::is_health_checked(old);
    let changed = read::count(new, FIELD) != read::count(old, FIELD);
    (both && changed).then(|| Path::new(FIELD).forbidden(IMMUTABLE))
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
