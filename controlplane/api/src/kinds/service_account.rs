//! ServiceAccounts.

use serde_json::Value;

use super::define::{age, body, kind, name, text};
use crate::read;
use crate::resource::{Resource, Role, Verb};

// Upstream's descriptions of columns, to the letter.
const SECRETS_HELP: &str = "Secrets is a list of the secrets in the same namespace that pods running using this ServiceAccount are \
    allowed to use. Pods are only limited to this list if this service account has a \
    \"kubernetes.io/enforce-mountable-secrets\" annotation set to \"true\". The \
    \"kubernetes.io/enforce-mountable-secrets\" annotation is deprecated since v1.32. Prefer separate namespaces \
    to isolate access to mounted secrets. This field should not be used to find auto-generated service account \
    token secrets for use outside of pods. Instead, tokens can be requested directly using the TokenRequest API, \
    or service account token secrets can be manually created. More info: \
    https://kubernetes.io/docs/concepts/configuration/secret";

pub(super) fn resource() -> Resource {
    let token = body("authentication.k8s.io", "v1", "TokenRequest");
    let secrets = |object: &Value, _| Value::from(read::list(object, "secrets").len());
    kind("", "v1", "ServiceAccount", "serviceaccounts")
        .short(&["sa"])
        .showing_deleted()
        .with_subresource("token", Role::Token, &[Verb::Create], token)
        .shown_by(vec![name(), text("Secrets", SECRETS_HELP, secrets), age()])
}
