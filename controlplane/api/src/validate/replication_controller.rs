//! Rules for ReplicationControllers.

use serde_json::{Value, json};

use super::{number, template};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;

/// What is wrong with a ReplicationController.
pub(crate) fn replication_controller(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors: Vec<FieldError> = number::non_negative(spec, "minReadySeconds", &path)
        .into_iter()
        .collect();
    if read::map(spec, "selector").next().is_none() {
        errors.push(path.child("selector").required(""));
    }
    errors.extend(number::non_negative(spec, "replicas", &path));
    if !read::present(spec, "template") {
        errors.push(path.child("template").required(""));
        return errors;
    }
    errors.extend(fits(spec, &path));
    errors.extend(template::pods(spec, &path));
    errors.extend(template::runs_on(spec, "ReplicationController", &path));
    errors
}

/// The selector is a plain map, all of which the template's labels must hold.
fn fits(spec: &Value, path: &Path) -> Option<FieldError> {
    let labels = spec.get("template").map(meta::labels).unwrap_or_default();
    let held =
        read::map(spec, "selector").all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    (!held).then(|| {
        path.child("template.metadata.labels")
            .invalid(json!(labels), "`selector` does not match template `labels`")
    })
}
