//! ValidatingWebhookConfigurations and MutatingWebhookConfigurations.

use serde_json::Value;

use super::define::{age, kind, name, number};
use crate::field::FieldError;
use crate::read;
use crate::resource::Resource;
use crate::strategy::Strategy;
use crate::validate::admission::webhook;

pub(super) const GROUP: &str = "admissionregistration.k8s.io";

pub(super) fn validating() -> Resource {
    configuration(
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    )
}

pub(super) fn mutating() -> Resource {
    configuration("MutatingWebhookConfiguration", "mutatingwebhookconfigurations")
}

fn configuration(kind_name: &'static str, plural: &'static str) -> Resource {
    kind(GROUP, "v1", kind_name, plural)
        .cluster_wide()
        .in_category("api-extensions")
        .shown_by(vec![
            name(),
            number(
                "Webhooks",
                "Webhooks indicates the number of webhooks registered in this configuration",
                |object, _| read::list(object, "webhooks").len().into(),
            ),
            age(),
        ])
        .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        webhook::configuration(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        webhook::configuration(new, Some(old))
    }
}
