//! ServiceAccounts.

use serde_json::Value;

use super::define::{age, kind, name, text};
use crate::read;
use crate::resource::Resource;

pub(super) fn resource() -> Resource {
    let secrets = |object: &Value, _| Value::from(read::list(object, "secrets").len());
    kind("", "v1", "ServiceAccount", "serviceaccounts")
        .short(&["sa"])
        .showing_deleted()
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
