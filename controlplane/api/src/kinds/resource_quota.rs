//! ResourceQuotas.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy};
use crate::validate::{quota, resources};

pub(super) fn resource() -> Resource {
    kind("", "v1", "ResourceQuota", "resourcequotas")
        .short(&["quota"])
        .showing_deleted()
        .with_status()
        .shown_by(vec![
            name(),
            text(
                "Request",
                "Request represents a minimum amount of cpu/memory that a container may consume.",
                |quota, _| used(quota, false),
            ),
            text(
                "Limit",
                "Limits control the maximum amount of cpu/memory that a container may use independent of \
                 contention on the node.",
                |quota, _: Timestamp| used(quota, true),
            ),
            age(),
        ])
        .ruled_by(Rules)
}

/// `pods: 1/10, requests.cpu: 500m/2`: of what is called a limit, or of all else.
fn used(quota: &Value, limits: bool) -> Value {
    let shown = read::map(quota, "status.hard")
        .filter(|(name, _)| name.starts_with("limits.") == limits)
        .map(|(name, hard)| {
            let used = quota
                .pointer("/status/used")
                .and_then(|used| used.get(name))
                .and_then(resources::quantity)
                .unwrap_or(crate::Quantity::ZERO);
            let hard = resources::quantity(hard).unwrap_or(crate::Quantity::ZERO);
            format!("{name}: {used}/{hard}")
        });
    shown.collect::<Vec<_>>().join(", ").into()
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        meta::object_mut(object).insert("status".to_owned(), json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        quota::quota(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        quota::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        quota::status(new)
    }
}
