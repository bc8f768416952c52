//! NetworkPolicies.

use serde_json::Value;

use super::cells::selector_text;
use super::define::{age, kind, name, text};
use crate::field::FieldError;
use crate::resource::{Resource, at};
use crate::strategy::Strategy;
use crate::validate::network_policy;

// Upstream's descriptions of columns, to the letter.
const POD_SELECTOR_HELP: &str = "Selects the pods to which this NetworkPolicy object applies.  The array of ingress rules is applied to any \
    pods selected by this field. Multiple network policies can select the same set of pods.  In this case, the \
    ingress rules for each are combined additively. This field is NOT optional and follows standard label \
    selector semantics. An empty podSelector matches all pods in this namespace.";

pub(super) fn resource() -> Resource {
    kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
        .short(&["netpol"])
        .shown_by(vec![
            name(),
            text("Pod-Selector", POD_SELECTOR_HELP, |object, _| {
                selector_text(at(object, "spec.podSelector").unwrap_or(&Value::Null))
            }),
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
        network_policy::policy(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        network_policy::policy(new, Some(old))
    }

    fn warnings(&self, new: &Value, _: Option<&Value>) -> Vec<String> {
        network_policy::warnings(new)
    }
}
