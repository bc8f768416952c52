//! Rules for RuntimeClasses.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{change, inner_form, naming, pod, resources};

/// What is wrong with a RuntimeClass.
pub(crate) fn class(object: &Value) -> Vec<FieldError> {
    let handler = read::text(object, "handler");
    let mut errors = naming::broken(names::dns_label, handler, &Path::new("handler"));
    if let Some(fixed) = at(object, "overhead.podFixed").filter(|fixed| !fixed.is_null()) {
        let requirements = json!({"limits": fixed});
        errors.extend(resources::requirements(&requirements, &Path::new("overhead")));
    }
    if let Some(scheduling) = at(object, "scheduling") {
        let path = Path::new("scheduling");
        errors.extend(pod::label_map(scheduling, "nodeSelector", &path));
        errors.extend(pod::tolerations(scheduling, &path.child("tolerations")));
        errors.extend(repeated(scheduling, &path.child("tolerations")));
    }
    errors
}

/// Tolerations of the same taints as one before.
fn repeated(scheduling: &Value, path: &Path) -> Vec<FieldError> {
    const TAINTS: [&str; 4] = ["key", "operator", "value", "effect"];
    let tolerations = read::list(scheduling, "tolerations");
    let taints = |toleration: &Value| TAINTS.map(|field| read::text(toleration, field).to_owned());
    let mut seen = BTreeSet::new();
    let again = tolerations
        .iter()
        .enumerate()
        .filter(|(_, found)| !seen.insert(taints(found)));
    again
        .map(|(index, found)| {
            let form = inner_form::shown(Some(found), inner_form::TOLERATION);
            path.index(index).duplicate(found.clone()).shown_as(form)
        })
        .collect()
}

/// What is wrong with an update of a RuntimeClass: pods run by its handler.
pub(crate) fn class_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = class(new);
    errors.extend(change::immutable(new, old, "handler"));
    errors
}

/// Warnings about labels that nodes have under better names.
pub(crate) fn warnings(object: &Value) -> Vec<String> {
    let path = Path::new("scheduling.nodeSelector");
    let selected = read::map(object, "scheduling.nodeSelector");
    selected
        .filter_map(|(key, _)| pod::warnings::old_label(key, &path))
        .collect()
}
