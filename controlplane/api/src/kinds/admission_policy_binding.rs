//! Bindings of admission policies.

use jiff::Timestamp;
use serde_json::Value;

use super::define::{age, field, kind, name, text};
use super::webhook_configuration::GROUP;
use crate::field::FieldError;
use crate::read;
use crate::resource::{Resource, at};
use crate::strategy::Strategy;
use crate::validate::admission::policy::{self, Actions};

pub(super) fn validating() -> Resource {
    binding(
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        Actions::Needed,
    )
}

pub(super) fn mutating() -> Resource {
    binding(
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        Actions::None,
    )
}

fn binding(kind_name: &'static str, plural: &'static str, actions: Actions) -> Resource {
    kind(GROUP, "v1", kind_name, plural)
        .cluster_wide()
        .in_category("api-extensions")
        .shown_by(vec![
            name(),
            field(
                "PolicyName",
                "spec.policyName",
                "PolicyName indicates the policy definition which the policy binding binded to",
            ),
            text(
                "ParamRef",
                "ParamRef indicates the param resource which sets the configration param",
                param_ref,
            ),
            age(),
        ])
        .ruled_by(Rules(actions))
}

const UNSET: &str = "<unset>";

fn param_ref(object: &Value, _: Timestamp) -> Value {
    let Some(reference) = at(object, "spec.paramRef").filter(|reference| !reference.is_null()) else {
        return UNSET.into();
    };
    let part = |field| read::text(reference, field);
    match (part("namespace"), part("name")) {
        (_, "") if read::present(reference, "selector") => selector(reference).into(),
        (_, "") => UNSET.into(),
        // Whether the parameter is in a namespace at all, its kind would say.
        ("", name) => format!("*/{name}").into(),
        (namespace, name) => format!("{namespace}/{name}").into(),
    }
}

/// A selector as Go prints one.
fn selector(reference: &Value) -> String {
    let labels: String = read::map(reference, "selector.matchLabels")
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default()))
        .collect();
    let expressions: String = read::list(reference, "selector.matchExpressions")
        .iter()
        .map(|found| {
            let (key, operator) = (read::text(found, "key"), read::text(found, "operator"));
            let values = read::texts(found, "values").join(" ");
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{\
         {expressions}}},}}"
    )
}

#[derive(Debug)]
struct Rules(Actions);

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        policy::binding(object, self.0)
    }
}
