//! Values as Go prints them in messages.

use serde_json::{Map, Value};

use crate::field::quote;

/// An object as Go prints a map: `map[a:1 b:x]`.
pub(crate) fn map(fields: &Map<String, Value>) -> String {
    let mut entries: Vec<String> = fields
        .iter()
        .map(|(name, inner)| format!("{name}:{}", value(inner)))
        .collect();
    entries.sort();
    format!("map[{}]", entries.join(" "))
}

/// A list as Go prints it: `[a b]`.
pub(crate) fn list(elements: &[Value]) -> String {
    let elements: Vec<String> = elements.iter().map(value).collect();
    format!("[{}]", elements.join(" "))
}

/// A value as `%v` prints it.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => map(fields),
        Value::Array(elements) => list(elements),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A value as `%#v` prints it.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => quote(text),
        Value::Object(fields) => {
            let entries: Vec<String> = fields
                .iter()
                .map(|(name, inner)| format!("{}:{}", quote(name), literal(inner)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(literal).collect();
            format!("[]interface {{}}{{{}}}", elements.join(", "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The type of a value as `%T` prints it.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
