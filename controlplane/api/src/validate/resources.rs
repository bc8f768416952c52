//! Rules for amounts of resources.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::quantity::Quantity;
use crate::read;

use super::number::NON_NEGATIVE;
use super::resource_names;

/// A quantity, which JSON may hold as text or number.
pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// An amount as upstream shows it: in its canonical spelling.
pub(crate) fn shown(value: &Value) -> Value {
    quantity(value).map_or_else(|| value.clone(), |quantity| quantity.to_string().into())
}

/// What is wrong with the map of amounts at a dotted path, none of which may be below zero. The errors'
/// paths are members', not keys', as upstream writes them for nodes.
pub(crate) fn amounts(object: &Value, at: &str, path: &Path) -> Vec<FieldError> {
    read::map(object, at)
        .flat_map(|(name, value)| amount(name, value, &path.child(name)))
        .collect()
}

fn amount(name: &str, value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match quantity(value) {
        None => errors.push(path.invalid(value.clone(), quantity_rule(value))),
        Some(amount) => {
            if amount.is_negative() {
                errors.push(path.invalid(shown(value), NON_NEGATIVE));
            }
            if resource_names::is_counted(name) && !amount.is_whole() {
                errors.push(path.invalid(shown(value), "must be an integer"));
            }
        }
    }
    errors
}

fn quantity_rule(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    Quantity::parse(text)
        .err()
        .map_or_else(String::new, |error| error.to_string())
}

/// What is wrong with the map of amounts `field` of `object`: each name by `named`, none below zero.
pub(crate) fn named_amounts(
    object: &Value,
    field: &str,
    named: fn(&str, &Path) -> Vec<FieldError>,
    path: &Path,
) -> Vec<FieldError> {
    let path = path.child(field);
    let mut errors = Vec::new();
    for (name, value) in read::map(object, field) {
        let path = path.key(name);
        errors.extend(named(name, &path));
        errors.extend(amount(name, value, &path));
    }
    errors
}

/// What is wrong with `resources` of a container.
pub(crate) fn requirements(resources: &Value, path: &Path) -> Vec<FieldError> {
    requirements_of(resources, resource_names::of_container, path)
}

/// What is wrong with `resources`, each name by `named`.
pub(crate) fn requirements_of(
    resources: &Value,
    named: fn(&str, &Path) -> Vec<FieldError>,
    path: &Path,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for bound in ["limits", "requests"] {
        errors.extend(named_amounts(resources, bound, named, path));
        errors.extend(pages(resources, bound, path));
    }
    for (name, request) in read::map(resources, "requests") {
        let limit = resources.get("limits").and_then(|limits| limits.get(name));
        errors.extend(within(name, request, limit, path));
    }
    errors.extend(pages_alone(resources, path));
    errors
}

/// Huge pages come in whole pages.
fn pages(resources: &Value, bound: &str, path: &Path) -> Vec<FieldError> {
    let path = path.child(bound);
    let mut errors = Vec::new();
    for (name, value) in read::map(resources, bound) {
        let Some(size) = name.strip_prefix("hugepages-") else {
            continue;
        };
        let page = size.parse::<Quantity>().ok().filter(|page| page.is_whole());
        let page = page.map(Quantity::bytes).filter(|page| *page > 0);
        let divides = |amount: &Quantity| page.is_some_and(|page| amount.bytes() % page == 0);
        if let Some(amount) = quantity(value).filter(|amount| !divides(amount)) {
            let detail = format!("{amount} is not positive integer multiple of {name}");
            errors.push(path.key(name).invalid(amount.to_string(), detail));
        }
    }
    errors
}

fn pages_alone(resources: &Value, path: &Path) -> Option<FieldError> {
    let names: Vec<&String> = ["limits", "requests"]
        .iter()
        .flat_map(|bound| read::map(resources, bound))
        .map(|(name, _)| name)
        .collect();
    let pages = names.iter().any(|name| name.starts_with("hugepages-"));
    let others = names.iter().any(|name| matches!(name.as_str(), "cpu" | "memory"));
    (pages && !others).then(|| path.forbidden("HugePages require cpu or memory"))
}

fn within(name: &str, request: &Value, limit: Option<&Value>, path: &Path) -> Option<FieldError> {
    let fixed = resource_names::is_fixed(name);
    let Some(limit) = limit else {
        let detail = "Limit must be set for non overcommitable resources";
        return fixed.then(|| path.child("limits").required(detail));
    };
    let (asked, most) = (quantity(request)?, quantity(limit)?);
    let relation = match () {
        () if fixed && asked != most => "equal to",
        () if asked > most => "less than or equal to",
        () => return None,
    };
    let detail = format!("must be {relation} {name} limit of {most}");
    Some(path.child("requests").invalid(shown(request), detail))
}
