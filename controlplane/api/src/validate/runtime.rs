//! Rules for RuntimeClasses.

use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{change, naming, pod, resources};

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
    }
    errors
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
