//! IngressClasses.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::NONE;
use super::define::{age, field, kind, name, text};
use crate::field::FieldError;
use crate::read;
use crate::resource::{Resource, at};
use crate::strategy::Strategy;
use crate::validate::ingress;

pub(super) fn resource() -> Resource {
    kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses")
        .cluster_wide()
        .shown_by(vec![
            name(),
            field(
                "Controller",
                "spec.controller",
                "Controller that is responsible for handling this class",
            ),
            text(
                "Parameters",
                "A reference to a resource with additional parameters",
                parameters,
            ),
            age(),
        ])
        .ruled_by(Rules)
}

fn parameters(object: &Value, _: Timestamp) -> Value {
    let Some(found) = at(object, "spec.parameters").filter(|found| !found.is_null()) else {
        return NONE.into();
    };
    let part = |field| read::text(found, field);
    let group = match part("apiGroup") {
        "" => String::new(),
        group => format!(".{group}"),
    };
    format!("{}{group}/{}", part("kind"), part("name")).into()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        ingress::class(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        ingress::class_update(new, old)
    }
}
