//! ValidatingAdmissionPolicies and MutatingAdmissionPolicies.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::define::{age, kind, name, number, text};
use super::webhook_configuration::GROUP;
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::Resource;
use crate::strategy::{Context, Strategy, remove_status};
use crate::validate::admission::policy;

const PARAM_HELP: &str = "ParamKind specifies the kind of resources used to parameterize this policy";

pub(super) fn validating() -> Resource {
    kind(
        GROUP,
        "v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
    )
    .cluster_wide()
    .in_category("api-extensions")
    .with_status()
    .shown_by(vec![
        name(),
        number(
            "Validations",
            "Validations indicates the number of validation rules defined in this configuration",
            |object, _| read::list(object, "spec.validations").len().into(),
        ),
        text("ParamKind", PARAM_HELP, param_kind),
        age(),
    ])
    .ruled_by(Rules::Validating)
}

pub(super) fn mutating() -> Resource {
    kind(
        GROUP,
        "v1",
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
    )
    .cluster_wide()
    .in_category("api-extensions")
    .shown_by(vec![
        name(),
        number(
            "Mutations",
            "Mutation indicates the number of mutations rules defined in this configuration",
            |object, _| read::list(object, "spec.mutations").len().into(),
        ),
        text("ParamKind", PARAM_HELP, param_kind),
        age(),
    ])
    .ruled_by(Rules::Mutating)
}

fn param_kind(object: &Value, _: Timestamp) -> Value {
    if !read::present(object, "spec.paramKind") {
        return "<unset>".into();
    }
    let part = |field| read::text(object, field);
    format!(
        "{}/{}",
        part("spec.paramKind.apiVersion"),
        part("spec.paramKind.kind")
    )
    .into()
}

#[derive(Debug)]
enum Rules {
    Validating,
    Mutating,
}

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, _: &Context) {
        match self {
            Self::Validating => drop(meta::object_mut(object).insert("status".to_owned(), json!({}))),
            Self::Mutating => remove_status(object),
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        match self {
            Self::Validating => policy::validating(object, None),
            Self::Mutating => policy::mutating(object, None),
        }
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        match self {
            Self::Validating => policy::validating(new, Some(old)),
            Self::Mutating => policy::mutating(new, Some(old)),
        }
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Vec<FieldError> {
        policy::status(new)
    }
}
