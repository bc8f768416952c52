//! Defaults: a table of the static ones, rules for those that depend on other fields.
//!
//! Of an object, first the static defaults are set, then its rules run, then its fields are visited: so a rule sees
//! its object's defaults, and what it adds is defaulted in turn.

use serde_json::{Map, Value};

use crate::schema::model::{Body, DefaultValue, Definition, MAX_DEPTH, Resolved, Shape};
use crate::schema::{Schemas, TableError};

/// Fills in defaults of one object that depend on its other fields. Must be idempotent.
pub type Rule = fn(&mut Map<String, Value>);

/// Fills in the defaults of `object` and of everything in it.
pub(crate) fn apply(schemas: &Schemas, definition: &Definition, object: &mut Value) {
    if let Value::Object(fields) = object {
        apply_object(schemas, definition, fields, 0);
    }
}

fn apply_object(schemas: &Schemas, definition: &Definition, fields: &mut Map<String, Value>, depth: usize) {
    for field in definition.fields() {
        if let Some(default) = &field.default
            && is_unset(fields.get(&*field.name), default.fills_zero)
        {
            fields.insert(field.name.to_string(), default.value.clone());
        }
    }
    for rule in definition.rules {
        rule(fields);
    }
    for (name, value) in fields.iter_mut() {
        if let Some(field) = definition.field(name) {
            apply_value(schemas, &field.shape, value, depth + 1);
        }
    }
}

fn apply_value(schemas: &Schemas, shape: &Shape, value: &mut Value, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match (schemas.resolve(shape), value) {
        (Resolved::Object(definition), Value::Object(fields)) => {
            apply_object(schemas, definition, fields, depth)
        }
        (Resolved::List(items), Value::Array(elements)) => {
            elements
                .iter_mut()
                .for_each(|element| apply_value(schemas, items, element, depth + 1));
        }
        (Resolved::Map(values), Value::Object(entries)) => {
            entries
                .values_mut()
                .for_each(|entry| apply_value(schemas, values, entry, depth + 1));
        }
        (Resolved::Scalar(_) | Resolved::Object(_) | Resolved::List(_) | Resolved::Map(_), _) => {}
    }
}

/// Whether a field counts as not given.
fn is_unset(value: Option<&Value>, zero_counts: bool) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => zero_counts && text.is_empty(),
        Some(Value::Number(number)) => zero_counts && number.as_i64() == Some(0),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// Reads a table of defaults into the fields of `schemas`.
pub(crate) fn apply_table(schemas: &mut Schemas, text: &str) -> Result<(), TableError> {
    let mut package = "";
    for (place, line) in text.lines().enumerate() {
        let syntax = |what| TableError::Syntax {
            line: place + 1,
            what,
        };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            package = name;
            continue;
        }
        if let Some((owner, fields)) = line
            .split_once(": ")
            .filter(|(owner, _)| !owner.contains(['.', ' ']))
        {
            for field in fields.split(' ') {
                set(schemas, (package, owner, field), DefaultValue::empty_object())?;
            }
            continue;
        }
        let (left, json) = line
            .split_once("= ")
            .ok_or_else(|| syntax("a default needs a value"))?;
        let fills_zero = left.ends_with('?');
        let (owner, field) = left
            .trim_end_matches(['?', ' '])
            .split_once('.')
            .ok_or_else(|| syntax("no type and field"))?;
        let value = serde_json::from_str(json).map_err(|_| syntax("the value is no JSON"))?;
        set(
            schemas,
            (package, owner, field),
            DefaultValue { value, fills_zero },
        )?;
    }
    Ok(())
}

fn set(
    schemas: &mut Schemas,
    (package, owner, name): (&str, &str, &str),
    default: DefaultValue,
) -> Result<(), TableError> {
    let field = match schemas
        .definition_mut(&format!("{package}.{owner}"))
        .map(|found| &mut found.body)
    {
        Some(Body::Object(fields)) => fields.iter_mut().find(|field| *field.name == *name),
        Some(Body::Scalar(_)) | None => None,
    };
    let field = field.ok_or_else(|| TableError::Dangling {
        name: format!("{package}.{owner}.{name}"),
    })?;
    field.default = Some(default);
    Ok(())
}
