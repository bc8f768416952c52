//! ServiceAccounts.

use serde_json::Value;

use super::define::{age, body, kind, name, text};
use crate::meta;
use crate::read;
use crate::resource::{Resource, Role, Verb};
use crate::strategy::{Context, Strategy};

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
        .ruled_by(Rules)
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn prepare_create(&self, object: &mut Value, _: &Context) {
        keep_names(object);
    }

    fn prepare_update(&self, new: &mut Value, _: &Value, _: &Context) {
        keep_names(new);
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let is_set = |object: &Value| meta::annotations(object).contains_key(ENFORCED);
        if !is_set(new) || old.is_some_and(is_set) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{ENFORCED}]: deprecated in v1.32+; prefer separate namespaces to isolate access to \
             mounted secrets"
        )]
    }
}

/// An account's pods may mount no other secrets than it lists.
const ENFORCED: &str = "kubernetes.io/enforce-mountable-secrets";

/// Of a secret that an account lists, only the name means anything.
fn keep_names(object: &mut Value) {
    let secrets = object.get_mut("secrets").and_then(Value::as_array_mut);
    for secret in secrets.into_iter().flatten().filter_map(Value::as_object_mut) {
        secret.retain(|field, _| field == "name");
    }
}
