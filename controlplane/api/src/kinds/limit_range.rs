//! LimitRanges.

use serde_json::Value;

use super::cells::created_at;
use super::define::{kind, name};
use crate::field::FieldError;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::limit_range;

/// Upstream has no table of its own for this kind, so it shows the name and when the object was made.
pub(super) fn resource() -> Resource {
    kind("", "v1", "LimitRange", "limitranges")
        .short(&["limits"])
        .shown_by(vec![name(), created_at()])
        .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    /// There is no status to clear.
    fn prepare_create(&self, _: &mut Value, _: &Context) {}

    fn prepare_update(&self, _: &mut Value, _: &Value, _: &Context) {}

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        limit_range::limit_range(object)
    }
}
