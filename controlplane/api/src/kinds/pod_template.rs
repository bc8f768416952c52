//! PodTemplates.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{containers, map_text};
use super::define::{kind, name, text};
use crate::field::{FieldError, Path};
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::{pod, template};

pub(super) fn resource() -> Resource {
    kind("", "v1", "PodTemplate", "podtemplates")
        .showing_deleted()
        .shown_by(vec![
            name(),
            text(
                "Containers",
                "Names of each container in the template.",
                |object, _| containers(object, "template.spec.containers", "name"),
            ),
            text(
                "Images",
                "Images referenced by each container in the template.",
                |object, _| containers(object, "template.spec.containers", "image"),
            ),
            text("Pod Labels", "The labels for the pod template.", labels),
        ])
        .ruled_by(Rules)
}

fn labels(object: &Value, _: Timestamp) -> Value {
    map_text(object, "template.metadata.labels")
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    /// There is no status to clear.
    fn prepare_create(&self, _: &mut Value, _: &Context) {}

    fn prepare_update(&self, _: &mut Value, _: &Value, _: &Context) {}

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let template = object.get("template").unwrap_or(&Value::Null);
        template::one(template, &Path::new("template"))
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod::warnings::of_template_at("template", new, old)
    }
}
