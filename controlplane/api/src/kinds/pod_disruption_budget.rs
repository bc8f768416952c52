//! PodDisruptionBudgets.

use serde_json::{Value, json};

use super::define::{age, kind, name, number, text};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Resource, at};
use crate::strategy::{Context, Strategy};
use crate::validate::disruption;

pub(super) fn resource() -> Resource {
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
        .short(&["pdb"])
        .with_status()
        .shown_by(vec![
            name(),
            text(
                "Min Available",
                "The minimum number of pods that must be available.",
                |budget, _| amount(budget, "spec.minAvailable"),
            ),
            text(
                "Max Unavailable",
                "The maximum number of pods that may be unavailable.",
                |budget, _| amount(budget, "spec.maxUnavailable"),
            ),
            number(
                "Allowed Disruptions",
                "Calculated number of pods that may be disrupted at this time.",
                |budget, _| read::count(budget, "status.disruptionsAllowed").into(),
            ),
            age(),
        ])
        .ruled_by(Rules)
}

fn amount(budget: &Value, path: &str) -> Value {
    match at(budget, path) {
        Some(Value::String(share)) => share.as_str().into(),
        Some(Value::Number(count)) => count.to_string().into(),
        _ => "N/A".into(),
    }
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        let empty =
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
        meta::object_mut(object).insert("status".to_owned(), empty);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        disruption::budget(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        disruption::budget(new, Some(old))
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        disruption::status(new)
    }
}
