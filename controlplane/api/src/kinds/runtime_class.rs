//! RuntimeClasses.

use serde_json::Value;

use super::define::{age, field, kind, name};
use crate::field::FieldError;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::runtime;

pub(super) fn resource() -> Resource {
    let resource = kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses")
        .cluster_wide()
        .shown_by(vec![name(), field("Handler", "handler", ""), age()])
        .ruled_by(Rules);
    Resource {
        unconditional_update: false,
        ..resource
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        runtime::class(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        runtime::class_update(new, old)
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        runtime::warnings(new)
    }
}
