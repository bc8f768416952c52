//! ServiceAccounts.

use serde_json::Value;

use super::define::{age, body, kind, name, text};
use crate::read;
use crate::resource::{Resource, Role, Verb};

pub(super) fn resource() -> Resource {
    let token = body("authentication.k8s.io", "v1", "TokenRequest");
    let secrets = |object: &Value, _| Value::from(read::list(object, "secrets").len());
    kind("", "v1", "ServiceAccount", "serviceaccounts")
        .short(&["sa"])
        .showing_deleted()
        .with_subresource("token", Role::Token, &[Verb::Create], token)
        .shown_by(vec![
            name(),
            text(
                "Secrets",
                "Secrets that pods running as this account may reference.",
                secrets,
            ),
            age(),
        ])
}
