//! Rules for amounts of resources.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::quantity::Quantity;
use crate::read;

use super::number::NON_NEGATIVE;

/// A quantity, which JSON may hold as text or number.
pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

fn shown(value: &Value) -> Value {
    quantity(value).map_or_else(|| value.clone(), |quantity| quantity.to_string().into())
}

/// What is wrong with the map of amounts at a dotted path, none of which may be below zero.
pub(crate) fn amounts(object: &Value, at: &str, path: &Path) -> Vec<FieldError> {
    read::map(object, at)
        .flat_map(|(name, value)| amount(name, value, &path.key(name)))
        .collect()
}

fn amount(name: &str, value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = names::qualified_name(name)
        .into_iter()
        .map(|rule| path.invalid(name, rule))
        .collect();
    match quantity(value) {
        None => errors.push(path.invalid(value.clone(), quantity_rule(value))),
        Some(amount) if amount.is_negative() => errors.push(path.invalid(shown(value), NON_NEGATIVE)),
        Some(amount) if is_counted(name) && !amount.is_whole() => {
            errors.push(path.invalid(shown(value), "must be an integer"));
        }
        Some(_) => {}
    }
    errors
}

fn quantity_rule(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    Quantity::parse(text)
        .err()
        .map_or_else(String::new, |error| error.to_string())
}

/// Resources that come in whole numbers only.
fn is_counted(name: &str) -> bool {
    name.contains('/') || name == "pods"
}

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What is wrong with `resources` of a container.
pub(crate) fn requirements(resources: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for bound in ["limits", "requests"] {
        let path = path.child(bound);
        for (name, value) in read::map(resources, bound) {
            let path = path.key(name);
            errors.extend(known(name, &path));
            errors.extend(amount(name, value, &path));
        }
    }
    let path = path.child("requests");
    for (name, request) in read::map(resources, "requests") {
        let limit = resources.get("limits").and_then(|limits| limits.get(name));
        errors.extend(within(name, request, limit, &path));
    }
    for (name, _) in read::map(resources, "limits") {
        let asked = resources
            .get("requests")
            .and_then(|requests| requests.get(name))
            .is_some();
        if is_fixed(name)
            && !asked
            && resources
                .get("requests")
                .is_some_and(|requests| !requests.is_null())
        {
            let detail = format!("{name} request must be set to the value of the limit");
            errors.push(path.key(name).invalid("", detail));
        }
    }
    errors
}

/// Resources whose request must equal the limit.
fn is_fixed(name: &str) -> bool {
    name.starts_with("hugepages-") || name.contains('/')
}

fn known(name: &str, path: &Path) -> Option<FieldError> {
    let standard = STANDARD.contains(&name) || name.starts_with("hugepages-") || name.contains('/');
    (!standard).then(|| path.invalid(name, "must be a standard resource for containers"))
}

fn within(name: &str, request: &Value, limit: Option<&Value>, path: &Path) -> Option<FieldError> {
    let asked = quantity(request)?;
    match limit {
        Some(limit) => {
            let most = quantity(limit)?;
            if is_fixed(name) && asked != most {
                return Some(
                    path.invalid(shown(request), format!("must be equal to {name} limit of {most}")),
                );
            }
            let detail = format!("must be less than or equal to {name} limit of {most}");
            (asked > most).then(|| path.invalid(shown(request), detail))
        }
        None if is_fixed(name) => Some(path.invalid(
            "",
            format!("Limit must be set for non overcommitable resources: {name}"),
        )),
        None => None,
    }
}
