//! ControllerRevisions: what a DaemonSet or StatefulSet was at some time.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::NONE;
use super::define::{age, kind, name, text};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::{metadata, number};

pub(super) fn resource() -> Resource {
    kind("apps", "v1", "ControllerRevision", "controllerrevisions")
        .shown_by(vec![
            name(),
            text("Controller", "Controller of the object", controller),
            text(
                "Revision",
                "revision indicates the revision of the state represented by data.",
                |object, _| read::count(object, "revision").into(),
            ),
            age(),
        ])
        .ruled_by(Rules)
}

/// `statefulset.apps/web`: the controller's kind with its group, and its name.
fn controller(object: &Value, _: Timestamp) -> Value {
    let owners = meta::owner_references(object);
    let Some(owner) = owners.iter().find(|owner| owner.controller) else {
        return NONE.into();
    };
    let kind = owner.kind.to_lowercase();
    match owner.api_version.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", owner.name).into(),
        None => format!("{kind}/{}", owner.name).into(),
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    /// There is no status to clear.
    fn prepare_create(&self, _: &mut Value, _: &Context) {}

    fn prepare_update(&self, _: &mut Value, _: &Value, _: &Context) {}

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if object.get("data").is_none_or(Value::is_null) {
            errors.push(Path::new("data").required("data is mandatory"));
        }
        errors.extend(number::non_negative(object, "revision", &Path::default()));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        if new.get("data") != old.get("data") {
            let data = new.get("data").cloned().unwrap_or_default();
            errors.push(Path::new("data").invalid(data, metadata::IMMUTABLE));
        }
        errors
    }
}
