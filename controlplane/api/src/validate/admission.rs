//! Rules of the kinds by which requests are changed and refused on their way in.

mod client;
pub(crate) mod policy;
mod rules;
mod variables;
pub(crate) mod webhook;

use std::collections::BTreeSet;

use controlplane_cel::{Environment, Type};
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::workload::{self, LabelValues};
use crate::validate::{expression, naming};

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const MAX_CONDITIONS: usize = 64;

/// What is wrong with the conditions on which a request is looked at.
fn match_conditions(object: &Value, environment: &Environment, path: &Path) -> Vec<FieldError> {
    let path = path.child("matchConditions");
    let conditions = read::list(object, "matchConditions");
    let mut errors = Vec::new();
    if conditions.len() > MAX_CONDITIONS {
        errors.push(path.too_many(conditions.len(), MAX_CONDITIONS));
    }
    let mut seen = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let (path, name) = (path.index(index), read::text(condition, "name"));
        let text = read::text(condition, "expression").trim();
        let at = path.child("expression");
        errors.extend(if text.is_empty() {
            Some(at.required(""))
        } else {
            expression::typed(text, environment, &[Type::Bool], &at).0
        });
        errors.extend(naming::required(names::qualified_name, name, &path.child("name")));
        if !name.is_empty() && !seen.insert(name) {
            errors.push(path.child("name").duplicate(name));
        }
    }
    errors
}

/// Whether the conditions on which a request is looked at stay as they were: then they are not looked at again.
fn keeps_conditions(new: &Value, old: &Value) -> bool {
    read::list(new, "matchConditions") == read::list(old, "matchConditions")
}

/// What is wrong with the selectors of `object`, where they are.
fn selectors(object: &Value, values: LabelValues, path: &Path) -> Vec<FieldError> {
    selectors_of(object)
        .flat_map(|(field, selector)| workload::selector_errors(selector, values, &path.child(field)))
        .collect()
}

/// How the selectors are looked at of what takes the place of `object`.
fn selector_values(object: &Value) -> impl Iterator<Item = LabelValues> {
    selectors_of(object).map(|(_, selector)| workload::values_after(Some(selector)))
}

fn selectors_of(object: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    let fields = ["namespaceSelector", "objectSelector"].into_iter();
    fields.filter_map(|field| Some((field, object.get(field).filter(|selector| !selector.is_null())?)))
}
