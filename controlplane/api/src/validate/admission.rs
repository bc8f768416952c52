//! Rules of the kinds by which requests are changed and refused on their way in.

mod client;
pub(crate) mod policy;
mod rules;
pub(crate) mod webhook;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{naming, workload};

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
const MAX_CONDITIONS: usize = 64;

/// What is wrong with the conditions on which a request is looked at.
fn match_conditions(object: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("matchConditions");
    let conditions = read::list(object, "matchConditions");
    let mut errors = Vec::new();
    if conditions.len() > MAX_CONDITIONS {
        errors.push(path.too_many(conditions.len(), MAX_CONDITIONS));
    }
    let mut seen = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let (path, name) = (path.index(index), read::text(condition, "name"));
        errors.extend(expression(condition, "expression", "", &path));
        errors.extend(naming::required(names::qualified_name, name, &path.child("name")));
        if !name.is_empty() && !seen.insert(name) {
            errors.push(path.child("name").duplicate(name));
        }
    }
    errors
}

/// What is wrong with an expression that must be there.
fn expression(object: &Value, field: &str, detail: &str, path: &Path) -> Option<FieldError> {
    read::text(object, field)
        .trim()
        .is_empty()
        .then(|| path.child(field).required(detail))
}

/// What is wrong with the selectors of `object`, where they are.
fn selectors(object: &Value, path: &Path) -> Vec<FieldError> {
    let fields = ["namespaceSelector", "objectSelector"].into_iter();
    fields
        .filter_map(|field| Some((field, object.get(field).filter(|selector| !selector.is_null())?)))
        .flat_map(|(field, selector)| workload::label_selector_errors(selector, &path.child(field)))
        .collect()
}
